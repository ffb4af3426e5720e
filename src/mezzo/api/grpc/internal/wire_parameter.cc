#include "mezzo/api/grpc/internal/wire_parameter.h"

#include <bit>
#include <limits>
#include <optional>

#include "mezzo/api/json_text.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::rpc {
namespace {

Result<WireParameter> ReadValue(BytesView bytes, WireScratch* scratch) {
  WireParameter value;
  WireReader reader(bytes);
  while (reader.remaining() > 0) {
    std::uint32_t field = 0;
    WireType type{};
    if (!reader.ReadTag(&field, &type)) return Malformed("a parameter");
    std::uint64_t number = 0;
    if ((field == 1 || field == 2 || field == 5) && type == WireType::kVarint) {
      if (!reader.ReadVarint(&number)) return Malformed("a parameter");
      if (field == 1) value = number != 0;
      if (field == 2) value = static_cast<std::int64_t>(number);
      if (field == 5) value = number;
    } else if (field == 3 && type == WireType::kBytes) {
      std::string_view text;
      if (!reader.ReadText(scratch, &text) || !IsUtf8(text)) return Malformed("a parameter");
      value = text;
    } else if (field == 4 && type == WireType::kFixed64) {
      if (!reader.ReadFixed64(&number)) return Malformed("a parameter");
      value = std::bit_cast<double>(number);
    } else if (!reader.SkipField(type)) {
      return Malformed("a parameter");
    }
  }
  return value;
}

std::optional<std::uint64_t> AsUnsigned(const WireParameter& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return *number;
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

Error RegionError(std::string message) {
  return InvalidArgument("shared_memory_parameter", std::move(message));
}

}  // namespace

Error Malformed(std::string_view what) {
  return InvalidArgument(
      "protobuf_malformed",
      "the request is no ModelInferRequest: malformed protocol buffer in " + std::string(what));
}

std::string Quoted(std::string_view name) { return "'" + Printable(name) + "'"; }

Result<void> ReadParameterEntry(BytesView entry, WireScratch* scratch, std::string_view* key,
                                WireParameter* value) {
  WireReader reader(entry);
  while (reader.remaining() > 0) {
    std::uint32_t field = 0;
    WireType type{};
    if (!reader.ReadTag(&field, &type)) return Malformed("parameters");
    if (field == 1 && type == WireType::kBytes) {
      if (!reader.ReadText(scratch, key) || !IsUtf8(*key)) return Malformed("parameters");
    } else if (field == 2 && type == WireType::kBytes) {
      BytesView bytes;
      if (!reader.ReadBytes(scratch, &bytes)) return Malformed("parameters");
      MEZZO_TRY(*value, ReadValue(bytes, scratch));
    } else if (!reader.SkipField(type)) {
      return Malformed("parameters");
    }
  }
  return {};
}

Result<inference::ParameterValue> ToParameterValue(std::string_view key, const WireParameter& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return inference::ParameterValue(*flag);
  if (const auto* number = std::get_if<std::int64_t>(&value)) return inference::ParameterValue(*number);
  if (const auto* text = std::get_if<std::string_view>(&value))
    return inference::ParameterValue(std::string(*text));
  if (const auto* number = std::get_if<double>(&value)) return inference::ParameterValue(*number);
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (*number <= kMost) return inference::ParameterValue(static_cast<std::int64_t>(*number));
    return InvalidArgument("parameter_type", "parameter " + Quoted(key) + " is " + std::to_string(*number) +
                                                 ", the limit is " + std::to_string(kMost));
  }
  return InvalidArgument("parameter_type",
                         "invalid value type for " + Quoted(key) +
                             " parameter, expected bool_param, int64_param, uint64_param, double_param or "
                             "string_param.");
}

Result<bool> ReadRegionParameter(std::string_view tensor, std::string_view key, const WireParameter& value,
                                 RegionRange* range) {
  const bool offset = key == "shared_memory_offset";
  if (key == "shared_memory_region") {
    const auto* text = std::get_if<std::string_view>(&value);
    if (text == nullptr) {
      return RegionError("invalid value type for 'shared_memory_region' parameter for tensor " +
                         Quoted(tensor) + ", expected string_param.");
    }
    range->given = true;
    range->region = *text;
    return true;
  }
  if (!offset && key != "shared_memory_byte_size") return false;
  const auto number = AsUnsigned(value);
  if (!number) {
    return RegionError("invalid value type for " + Quoted(key) + " parameter for tensor " + Quoted(tensor) +
                       ", expected int64_param of at least 0.");
  }
  (offset ? range->offset : range->byte_size) = *number;
  (offset ? range->has_offset : range->has_size) = true;
  return true;
}

Result<void> CheckRegionRange(std::string_view tensor, const RegionRange& range) {
  if (!range.given && (range.has_offset || range.has_size)) {
    return RegionError(
        std::string(range.has_offset ? "'shared_memory_offset'" : "'shared_memory_byte_size'") +
        " can not be specified without 'shared_memory_region' parameter for tensor " + Quoted(tensor));
  }
  if (range.given && !range.has_size) {
    return RegionError(
        "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for "
        "tensor " +
        Quoted(tensor));
  }
  return {};
}

}  // namespace mezzo::api::rpc
