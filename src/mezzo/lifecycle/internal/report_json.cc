#include "mezzo/lifecycle/internal/report_json.h"

#include <cmath>
#include <limits>
#include <optional>

#include "mezzo/base/strings.h"

namespace mezzo::lifecycle::internal {
namespace {

constexpr std::size_t kMaxName = 200;
/// A reason that was cut and escaped (Printable).
constexpr std::size_t kMaxReason = 4 * CompatibilityReport::kMaxReason + 3;
constexpr std::size_t kMaxMeasured = 64;
constexpr std::int64_t kMaxNanoseconds = std::int64_t{1} << 60U;

Error Invalid(const std::string& what) {
  return InvalidArgument("test_report_invalid", "not a report of a version's test: " + what);
}

Result<std::string> TextOf(const Json& object, const char* name, std::size_t limit) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return Invalid(std::string(name) + " must be a text");
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > limit) return Invalid(std::string(name) + " is too long");
  return text;
}

/// 0 to `limit`.
Result<std::uint64_t> CountOf(const Json& object, const char* name, std::uint64_t limit) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > limit) {
    return Invalid(std::string(name) + " must be a count");
  }
  return found->get<std::uint64_t>();
}

Result<Duration> DurationOf(const Json& object, const char* name) {
  MEZZO_TRY(const std::uint64_t count, CountOf(object, name, kMaxNanoseconds));
  return Duration(static_cast<std::int64_t>(count));
}

Json TensorsToJson(const std::vector<TestedTensor>& tensors) {
  Json list = Json::array();
  for (const TestedTensor& one : tensors) {
    const auto dims = one.shape.dims();
    Json entry = {{"name", one.name},
                  {"datatype", tensor::DTypeName(one.dtype)},
                  {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())}};
    if (one.optional) entry["optional"] = true;
    list.push_back(std::move(entry));
  }
  return list;
}

Result<TestedTensor> TensorFromJson(const Json& json) {
  if (!json.is_object()) return Invalid("a tensor must be an object");
  TestedTensor out;
  MEZZO_TRY(out.name, TextOf(json, "name", kMaxName));
  MEZZO_TRY(const std::string dtype, TextOf(json, "datatype", kMaxName));
  const auto parsed = tensor::ParseDType(dtype);
  if (!parsed) return Invalid("datatype is unknown");
  out.dtype = *parsed;
  const auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array()) return Invalid("shape must be a list");
  for (const Json& dim : *shape) {
    if (!dim.is_number_integer() || dim.get<std::int64_t>() < -1 ||
        !out.shape.Append(dim.get<std::int64_t>())) {
      return Invalid("shape must be a list of up to 12 dimensions");
    }
  }
  const auto optional = json.find("optional");
  if (optional != json.end()) {
    if (!optional->is_boolean()) return Invalid("optional must be true or false");
    out.optional = optional->get<bool>();
  }
  return out;
}

Result<std::vector<TestedTensor>> TensorsOf(const Json& object, const char* name) {
  const auto list = object.find(name);
  if (list == object.end() || !list->is_array() || list->size() > CompatibilityReport::kMaxTensors) {
    return Invalid(std::string(name) + " must be a list");
  }
  std::vector<TestedTensor> out;
  for (const Json& one : *list) {
    MEZZO_TRY(TestedTensor tensor, TensorFromJson(one));
    out.push_back(std::move(tensor));
  }
  return out;
}

std::optional<CheckOutcome> ParseOutcome(std::string_view name) {
  for (const auto outcome : {CheckOutcome::kPassed, CheckOutcome::kFailed, CheckOutcome::kSkipped}) {
    if (OutcomeName(outcome) == name) return outcome;
  }
  return std::nullopt;
}

}  // namespace

Json ToJson(const Check& check) {
  Json json = {{"name", check.name}, {"outcome", OutcomeName(check.outcome)}};
  if (!check.reason.empty()) json["reason"] = check.reason;
  if (!check.measured.empty()) {
    Json& measured = json["measured"] = Json::object();
    for (const auto& [name, value] : check.measured) measured[name] = value;
  }
  return json;
}

Result<Check> CheckFromJson(const Json& json) {
  if (!json.is_object()) return Invalid("a check must be an object");
  Check check;
  MEZZO_TRY(check.name, TextOf(json, "name", kMaxName));
  MEZZO_TRY(const std::string outcome, TextOf(json, "outcome", kMaxName));
  const auto parsed = ParseOutcome(outcome);
  if (!parsed) return Invalid("an outcome is passed, failed or skipped");
  check.outcome = *parsed;
  if (json.contains("reason")) {
    MEZZO_TRY(check.reason, TextOf(json, "reason", kMaxReason));
  }
  const auto measured = json.find("measured");
  if (measured == json.end()) return check;
  if (!measured->is_object() || measured->size() > kMaxMeasured) return Invalid("measured must be an object");
  for (const auto& [name, value] : measured->items()) {
    if (name.size() > kMaxName || !value.is_number() || !std::isfinite(value.get<double>())) {
      return Invalid("measured must hold numbers");
    }
    check.measured[name] = value.get<double>();
  }
  return check;
}

Json ToJson(const TestedPart& part) {
  Json json = Json::object();
  if (!part.name.empty()) json["name"] = part.name;
  json["max_batch_size"] = part.max_batch_size;
  json["inputs"] = TensorsToJson(part.inputs);
  json["outputs"] = TensorsToJson(part.outputs);
  json["memory_bytes"] = part.memory;
  json["load_ns"] = static_cast<std::uint64_t>(std::max<std::int64_t>(0, part.load_time.count()));
  json["runs"] = part.runs;
  json["p50_ns"] = static_cast<std::uint64_t>(std::max<std::int64_t>(0, part.p50.count()));
  json["p99_ns"] = static_cast<std::uint64_t>(std::max<std::int64_t>(0, part.p99.count()));
  return json;
}

Result<TestedPart> PartFromJson(const Json& json) {
  if (!json.is_object()) return Invalid("a part must be an object");
  TestedPart part;
  if (json.contains("name")) {
    MEZZO_TRY(part.name, TextOf(json, "name", kMaxName));
  }
  MEZZO_TRY(const std::uint64_t rows,
            CountOf(json, "max_batch_size", std::numeric_limits<std::int32_t>::max()));
  part.max_batch_size = static_cast<std::int64_t>(rows);
  MEZZO_TRY(part.inputs, TensorsOf(json, "inputs"));
  MEZZO_TRY(part.outputs, TensorsOf(json, "outputs"));
  MEZZO_TRY(part.memory, CountOf(json, "memory_bytes", std::uint64_t{1} << 60U));
  MEZZO_TRY(part.load_time, DurationOf(json, "load_ns"));
  MEZZO_TRY(const std::uint64_t runs, CountOf(json, "runs", std::numeric_limits<std::uint32_t>::max()));
  part.runs = static_cast<std::uint32_t>(runs);
  MEZZO_TRY(part.p50, DurationOf(json, "p50_ns"));
  MEZZO_TRY(part.p99, DurationOf(json, "p99_ns"));
  return part;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace mezzo::lifecycle::internal
