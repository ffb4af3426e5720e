#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/app/cli/internal/numbers.h"
#include "mezzo/app/cli/payload.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using Json = nlohmann::json;
using tensor::DType;
using tensor::Shape;

Error BadInput(std::string_view name, const std::string& what) {
  return InvalidArgument("bad_input", "input '" + Printable(name) + "' " + what);
}

/// One value as an element of an integer type; false when it does not fit.
template <typename T>
bool AppendInteger(std::string& out, const Json& value) {
  if (value.is_boolean()) {
    AppendRaw(out, static_cast<T>(value.get<bool>() ? 1 : 0));
    return true;
  }
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return false;
    AppendRaw(out, static_cast<T>(number));
    return true;
  }
  if (!value.is_number_integer() || !std::numeric_limits<T>::is_signed) return false;
  const auto number = value.get<std::int64_t>();
  if (number < static_cast<std::int64_t>(std::numeric_limits<T>::min())) return false;
  AppendRaw(out, static_cast<T>(number));
  return true;
}

bool AppendElement(std::string& out, DType dtype, const Json& value) {
  if (dtype == DType::kBytes) {
    if (!value.is_string()) return false;
    tensor::AppendBytesElement(out, value.get_ref<const std::string&>());
    return true;
  }
  bool fits = false;
  if (dtype == DType::kBool) {
    fits = value.is_boolean() || value == 0 || value == 1;
    if (fits) AppendRaw(out, static_cast<std::uint8_t>(value.is_boolean() ? value.get<bool>() : value == 1));
    return fits;
  }
  if (VisitInteger(dtype, [&](auto zero) { fits = AppendInteger<decltype(zero)>(out, value); })) return fits;
  if (!value.is_number()) return false;
  AppendReal(out, dtype, value.get<double>());
  return true;
}

/// The shape that the nesting of lists says, looking at first elements.
Result<Shape> NestedShape(std::string_view name, const Json& value) {
  Shape shape;
  const Json* at = &value;
  while (at->is_array()) {
    if (!shape.Append(static_cast<std::int64_t>(at->size())))
      return BadInput(name, "is nested deeper than 12 lists");
    if (at->empty()) break;
    at = &at->front();
  }
  return shape;
}

/// Appends the values below `value`, whose lists must all have the lengths of `dims` when `exact`.
Result<void> AppendAll(std::string_view name, DType dtype, const Json& value, const Shape& nesting,
                       std::size_t depth, bool exact, std::string& out) {
  if (!value.is_array()) {
    if (exact && depth != nesting.rank()) return BadInput(name, "has lists of different depths");
    if (AppendElement(out, dtype, value)) return {};
    return BadInput(name, "holds " + Printable(value.dump(), 40) + ", which is no " +
                              std::string(tensor::DTypeName(dtype)));
  }
  if (depth >= Shape::kMaxRank) return BadInput(name, "is nested deeper than 12 lists");
  if (exact && (depth >= nesting.rank() || static_cast<std::int64_t>(value.size()) != nesting[depth])) {
    return BadInput(name, "has lists of different lengths");
  }
  for (const Json& item : value) {
    MEZZO_TRY_VOID(AppendAll(name, dtype, item, nesting, depth + 1, exact, out));
  }
  return {};
}

Result<tensor::Tensor> FromJson(std::string_view name, DType dtype, const Shape* shape, const Json& value) {
  tensor::Tensor tensor{.dtype = dtype, .shape = {}, .data = {}};
  MEZZO_TRY(const Shape nesting, NestedShape(name, value));
  std::string bytes;
  MEZZO_TRY_VOID(AppendAll(name, dtype, value, nesting, 0, shape == nullptr, bytes));
  tensor.shape = shape == nullptr ? nesting : *shape;
  tensor.data = SharedBytes::FromString(std::move(bytes));
  MEZZO_TRY_VOID(tensor::CheckTensor(name, tensor));
  return tensor;
}

template <typename T>
T ElementAt(BytesView bytes, std::size_t index) {
  T value{};
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

Json ElementAsJson(const tensor::Tensor& tensor, std::size_t index) {
  const BytesView bytes = tensor.data.view();
  Json value;
  if (tensor.dtype == DType::kBool) return ElementAt<std::uint8_t>(bytes, index) != 0;
  if (VisitInteger(tensor.dtype, [&](auto zero) { value = ElementAt<decltype(zero)>(bytes, index); }))
    return value;
  switch (tensor.dtype) {
    case DType::kFp16:
      return FloatOfFp16(ElementAt<std::uint16_t>(bytes, index));
    case DType::kBf16:
      return FloatOfBf16(ElementAt<std::uint16_t>(bytes, index));
    case DType::kFp32:
      return ElementAt<float>(bytes, index);
    default:
      return ElementAt<double>(bytes, index);
  }
}

/// nlohmann prints a float with the digits of a double; this prints the shortest text that reads back.
void AppendValue(std::string& out, DType dtype, const Json& value) {
  if (value.is_number_float() && dtype != DType::kFp64) {
    out += fmt::format("{}", value.get<float>());
  } else {
    out += value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

Result<tensor::Tensor> TensorFromJson(std::string_view name, DType dtype, const Shape* shape,
                                      std::string_view json) {
  const Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return BadInput(name, "is not JSON: " + Printable(json, 60));
  return FromJson(name, dtype, shape, value);
}

Result<std::vector<NamedInput>> ParseInputs(std::string_view json, std::string_view source) {
  const auto bad = [source](const std::string& what) {
    return InvalidArgument("bad_input", std::string(source) + ": " + what);
  };
  const Json body = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object() || !body.contains("inputs") || !body["inputs"].is_array()) {
    return bad("must be a JSON object with a list \"inputs\"");
  }
  std::vector<NamedInput> inputs;
  for (const Json& item : body["inputs"]) {
    if (!item.is_object() || !item.value("name", Json()).is_string() ||
        !item.value("datatype", Json()).is_string() || !item.contains("data")) {
      return bad("every input needs \"name\", \"datatype\" and \"data\"");
    }
    const auto name = item["name"].get<std::string>();
    const auto dtype = tensor::ParseDType(item["datatype"].get<std::string>());
    if (!dtype)
      return bad("input '" + Printable(name) + "' has the unknown datatype " + item["datatype"].dump());
    Shape shape;
    const bool shaped = item.contains("shape");
    for (const Json& dim : shaped ? item["shape"] : Json::array()) {
      if (!dim.is_number_unsigned() || !shape.Append(dim.get<std::int64_t>())) {
        return bad("input '" + Printable(name) + "' has a shape that is not a list of up to 12 counts");
      }
    }
    auto tensor = FromJson(name, *dtype, shaped ? &shape : nullptr, item["data"]);
    if (!tensor.ok()) return std::move(tensor).error().WithContext(source);
    inputs.push_back({.name = name, .tensor = *std::move(tensor)});
  }
  if (inputs.empty()) return bad("\"inputs\" is empty");
  return inputs;
}

std::string ValuesAsJson(const tensor::Tensor& tensor) {
  std::string out = "[";
  if (tensor.dtype == DType::kBytes) {
    tensor::ForEachBytesElement(tensor.data.view(), [&out](std::string_view element) {
      if (out.size() > 1) out += ',';
      AppendValue(out, DType::kBytes, Json(element));
    });
    return out + "]";
  }
  const std::size_t count = tensor.data.size() / tensor::DTypeSize(tensor.dtype);
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    AppendValue(out, tensor.dtype, ElementAsJson(tensor, i));
  }
  return out + "]";
}

}  // namespace mezzo::app::cli
