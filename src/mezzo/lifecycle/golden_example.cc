#include "mezzo/lifecycle/golden_example.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/models/repository.h"

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::json;
using tensor::DType;

constexpr std::string_view kFolder = "golden";
constexpr std::string_view kSuffix = ".json";

Error Invalid(std::string_view example, const std::string& what) {
  return InvalidArgument("golden_invalid", "golden example '" + Printable(example) + "': " + what);
}

/// Refuses members that nobody would look at: a misspelt one must not pass as its default.
Result<void> CheckMembers(std::string_view example, const std::string& where, const Json& object,
                          std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return Invalid(example, where + " must be an object");
  for (const auto& [name, value] : object.items()) {
    (void)value;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return Invalid(example, where + " has the unknown member '" + Printable(name, 60) + "'");
    }
  }
  return {};
}

template <typename T>
void AppendRaw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <typename T>
bool AppendInteger(std::string& out, const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return false;
    AppendRaw(out, static_cast<T>(number));
    return true;
  }
  if (!std::numeric_limits<T>::is_signed || !value.is_number_integer()) return false;
  const auto number = value.get<std::int64_t>();
  if (number < static_cast<std::int64_t>(std::numeric_limits<T>::min())) return false;
  AppendRaw(out, static_cast<T>(number));
  return true;
}

/// Rounded to the nearest, ties to even.
std::uint16_t Bf16Of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

/// One value as an element; false when it is none of the type.
bool AppendElement(std::string& out, DType dtype, const Json& value) {
  switch (dtype) {
    case DType::kBytes:
      if (!value.is_string()) return false;
      tensor::AppendBytesElement(out, value.get_ref<const std::string&>());
      return true;
    case DType::kBool:
      if (!value.is_boolean() && value != 0 && value != 1) return false;
      AppendRaw(out, static_cast<std::uint8_t>(value.is_boolean() ? value.get<bool>() : value == 1));
      return true;
    case DType::kUint8:
      return AppendInteger<std::uint8_t>(out, value);
    case DType::kUint16:
      return AppendInteger<std::uint16_t>(out, value);
    case DType::kUint32:
      return AppendInteger<std::uint32_t>(out, value);
    case DType::kUint64:
      return AppendInteger<std::uint64_t>(out, value);
    case DType::kInt8:
      return AppendInteger<std::int8_t>(out, value);
    case DType::kInt16:
      return AppendInteger<std::int16_t>(out, value);
    case DType::kInt32:
      return AppendInteger<std::int32_t>(out, value);
    case DType::kInt64:
      return AppendInteger<std::int64_t>(out, value);
    default:
      break;
  }
  if (!value.is_number()) return false;
  const double real = value.get<double>();
  if (dtype == DType::kFp64) {
    AppendRaw(out, real);
  } else if (dtype == DType::kFp32) {
    AppendRaw(out, static_cast<float>(real));
  } else if (dtype == DType::kFp16) {
    AppendRaw(out, static_cast<_Float16>(real));
  } else {
    AppendRaw(out, Bf16Of(static_cast<float>(real)));
  }
  return true;
}

/// Appends what is below `value`; nesting need not agree with the shape, the number of elements must.
Result<void> AppendAll(std::string_view example, const std::string& where, DType dtype, const Json& value,
                       std::size_t depth, std::string& out) {
  if (!value.is_array()) {
    if (AppendElement(out, dtype, value)) return {};
    return Invalid(example, where + " holds " +
                                Printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 40) +
                                ", which is no " + std::string(tensor::DTypeName(dtype)));
  }
  if (depth >= tensor::Shape::kMaxRank) return Invalid(example, where + " nests deeper than 12 lists");
  for (const Json& item : value) MEZZO_TRY_VOID(AppendAll(example, where, dtype, item, depth + 1, out));
  return {};
}

Result<std::string> TextMember(std::string_view example, const std::string& where, const Json& object,
                               const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string() || found->get_ref<const std::string&>().empty()) {
    return Invalid(example, where + " needs a text '" + name + "'");
  }
  return found->get<std::string>();
}

/// The tensor of an entry whose name has been read.
Result<tensor::Tensor> ReadTensor(std::string_view example, const std::string& where, const Json& entry,
                                  const std::function<Result<std::string>(const std::string&)>& read_file) {
  MEZZO_TRY(const std::string datatype, TextMember(example, where, entry, "datatype"));
  const auto dtype = tensor::ParseDType(datatype);
  if (!dtype) return Invalid(example, where + " has the unknown datatype '" + Printable(datatype, 40) + "'");
  tensor::Tensor out{.dtype = *dtype, .shape = {}, .data = {}};
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) return Invalid(example, where + " needs a list 'shape'");
  for (const Json& dim : *shape) {
    constexpr std::uint64_t kMaxDim = std::uint64_t{1} << 40U;
    if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > kMaxDim ||
        !out.shape.Append(dim.get<std::int64_t>())) {
      return Invalid(example, where + " must have a shape of up to 12 counts");
    }
  }
  const auto data = entry.find("data");
  if ((data == entry.end()) == !entry.contains("file")) {
    return Invalid(example, where + " needs either 'data' or 'file'");
  }
  std::string bytes;
  if (data != entry.end()) {
    MEZZO_TRY_VOID(AppendAll(example, where, *dtype, *data, 0, bytes));
  } else {
    MEZZO_TRY(const std::string file, TextMember(example, where, entry, "file"));
    auto read = read_file(file);
    if (!read.ok()) return Invalid(example, where + ": " + read.error().message());
    bytes = std::move(read).value();
  }
  out.data = SharedBytes::FromString(std::move(bytes));
  if (const auto whole = tensor::CheckTensor(where, out); !whole.ok()) {
    return Invalid(example, whole.error().message());
  }
  return out;
}

Result<void> ReadNumber(std::string_view example, const std::string& where, const Json& object,
                        const char* name, double& number) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (!found->is_number() || !std::isfinite(found->get<double>())) {
    return Invalid(example, where + ": '" + name + "' must be a number");
  }
  number = found->get<double>();
  return {};
}

Result<CompareRule> ReadRule(std::string_view example, const std::string& where, const Json& json) {
  MEZZO_TRY_VOID(
      CheckMembers(example, where, json, {"rule", "absolute", "relative", "at_least", "range", "layout"}));
  CompareRule rule;
  MEZZO_TRY(const std::string name, TextMember(example, where, json, "rule"));
  bool known = false;
  for (const auto kind : {CompareRule::Kind::kExact, CompareRule::Kind::kTolerance,
                          CompareRule::Kind::kCosine, CompareRule::Kind::kSsim}) {
    if (RuleName(kind) != name) continue;
    rule.kind = kind;
    known = true;
  }
  if (!known) {
    return Invalid(example, where + " has the rule '" + Printable(name, 40) +
                                "'; there are exact, tolerance, cosine and ssim");
  }
  if (rule.kind == CompareRule::Kind::kSsim) rule.at_least = 0.95;
  MEZZO_TRY_VOID(ReadNumber(example, where, json, "absolute", rule.absolute));
  MEZZO_TRY_VOID(ReadNumber(example, where, json, "relative", rule.relative));
  MEZZO_TRY_VOID(ReadNumber(example, where, json, "at_least", rule.at_least));
  MEZZO_TRY_VOID(ReadNumber(example, where, json, "range", rule.range));
  if (rule.absolute < 0 || rule.relative < 0 || rule.range < 0 || rule.at_least < -1 || rule.at_least > 1) {
    return Invalid(example, where + ": tolerances and range must not be negative, at_least is -1 to 1");
  }
  if (!json.contains("layout")) return rule;
  MEZZO_TRY(const std::string layout, TextMember(example, where, json, "layout"));
  if (layout != "nchw" && layout != "nhwc") return Invalid(example, where + ": layout is 'nchw' or 'nhwc'");
  if (layout == "nhwc") rule.layout = CompareRule::Layout::kNhwc;
  return rule;
}

bool IsReal(DType dtype) {
  return dtype == DType::kFp16 || dtype == DType::kBf16 || dtype == DType::kFp32 || dtype == DType::kFp64;
}

Result<const Json*> ListMember(std::string_view example, const Json& object, const char* name) {
  constexpr std::size_t kMaxTensors = 1024;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array() || found->empty() || found->size() > kMaxTensors) {
    return Invalid(example, std::string("needs a list '") + name + "' of 1 to 1024 tensors");
  }
  return &*found;
}

}  // namespace

Result<GoldenExample> ParseGoldenExample(
    std::string_view name, std::string_view text,
    const std::function<Result<std::string>(const std::string&)>& read_file) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Invalid(name, "is not JSON");
  MEZZO_TRY_VOID(CheckMembers(
      name, "it", json,
      {"inputs", "outputs", "compare", "part", "id", "model_name", "model_version", "parameters"}));
  GoldenExample out;
  out.name = std::string(name);
  if (json.contains("part")) {
    MEZZO_TRY(out.part, TextMember(name, "it", json, "part"));
  }
  std::optional<CompareRule> common;
  if (json.contains("compare")) {
    MEZZO_TRY(common, ReadRule(name, "'compare'", json["compare"]));
  }
  MEZZO_TRY(const Json* const inputs, ListMember(name, json, "inputs"));
  for (const Json& entry : *inputs) {
    MEZZO_TRY_VOID(
        CheckMembers(name, "an input", entry, {"name", "datatype", "shape", "data", "file", "parameters"}));
    GoldenInput input;
    MEZZO_TRY(input.name, TextMember(name, "an input", entry, "name"));
    MEZZO_TRY(input.tensor, ReadTensor(name, "input '" + Printable(input.name) + "'", entry, read_file));
    out.inputs.push_back(std::move(input));
  }
  MEZZO_TRY(const Json* const outputs, ListMember(name, json, "outputs"));
  for (const Json& entry : *outputs) {
    MEZZO_TRY_VOID(CheckMembers(name, "an output", entry,
                                {"name", "datatype", "shape", "data", "file", "parameters", "compare"}));
    GoldenOutput output;
    MEZZO_TRY(output.name, TextMember(name, "an output", entry, "name"));
    const std::string where = "output '" + Printable(output.name) + "'";
    MEZZO_TRY(output.tensor, ReadTensor(name, where, entry, read_file));
    output.rule.kind =
        IsReal(output.tensor.dtype) ? CompareRule::Kind::kTolerance : CompareRule::Kind::kExact;
    if (common) output.rule = *common;
    if (entry.contains("compare")) {
      MEZZO_TRY(output.rule, ReadRule(name, where + ": 'compare'", entry["compare"]));
    }
    out.outputs.push_back(std::move(output));
  }
  return out;
}

Result<std::vector<GoldenExample>> ReadGoldenExamples(const std::string& version_folder) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(version_folder) / kFolder;
  std::error_code failed;
  const auto status = fs::symlink_status(folder, failed);
  if (status.type() == fs::file_type::not_found) return std::vector<GoldenExample>();
  if (status.type() != fs::file_type::directory) {
    return InvalidArgument("golden_invalid", "'golden' in the version's folder must be a folder");
  }
  std::vector<std::string> names;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string file = at->path().filename().string();
    if (!std::string_view(file).ends_with(kSuffix)) continue;
    names.push_back(file.substr(0, file.size() - kSuffix.size()));
    if (names.size() > GoldenExample::kMaxExamples) {
      return InvalidArgument("golden_invalid", fmt::format("a version has at most {} golden examples",
                                                           GoldenExample::kMaxExamples));
    }
  }
  if (failed)
    return InvalidArgument("golden_invalid", "the folder 'golden' can't be read: " + failed.message());
  std::sort(names.begin(), names.end());
  const auto read_file = [&folder](const std::string& file) {
    return models::ReadFileBelow(folder.string(), file, GoldenExample::kMaxFile);
  };
  std::vector<GoldenExample> out;
  for (const std::string& name : names) {
    if (!IsSafeName(name)) {
      return Invalid(name, "its name may have letters, digits, '.', '_' and '-' only");
    }
    const auto text =
        models::ReadFileBelow(folder.string(), name + std::string(kSuffix), GoldenExample::kMaxJson);
    if (!text.ok()) return Invalid(name, text.error().message());
    MEZZO_TRY(GoldenExample example, ParseGoldenExample(name, *text, read_file));
    out.push_back(std::move(example));
  }
  return out;
}

}  // namespace mezzo::lifecycle
