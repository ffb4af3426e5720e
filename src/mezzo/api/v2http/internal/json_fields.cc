#include "mezzo/api/v2http/internal/json_fields.h"

#include <limits>

#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {

Error WrongKind(JsonReader* reader, std::string_view field, std::string_view wanted) {
  const JsonKind kind = reader->Peek();
  if (kind == JsonKind::kNone) {
    static_cast<void>(reader->Skip());  // Sets the reader's error: nothing here is a value.
    return reader->error();
  }
  return InvalidArgument("field_type", "Unable to parse '" + std::string(field) +
                                           "': attempt to access JSON non-" + std::string(wanted) + " as " +
                                           std::string(wanted) + ", found " +
                                           std::string(JsonReader::KindName(kind)));
}

Error MissingField(std::string_view field) {
  return InvalidArgument("field_missing", "Unable to parse '" + std::string(field) +
                                              "': attempt to access non-existing object member '" +
                                              std::string(field) + "'");
}

Error DuplicateField(std::string_view field) {
  return InvalidArgument("field_duplicate", "the member '" + Printable(field) + "' is there twice");
}

Result<std::string_view> ReadStringField(JsonReader* reader, std::string_view field, std::size_t max_bytes) {
  if (reader->Peek() != JsonKind::kString) return WrongKind(reader, field, "string");
  std::string_view value;
  if (!reader->ReadString(&value)) return reader->error();
  if (value.size() > max_bytes) {
    return InvalidArgument("field_too_long", "'" + Printable(field) + "' has " +
                                                 std::to_string(value.size()) + " bytes, the limit is " +
                                                 std::to_string(max_bytes));
  }
  return value;
}

Result<bool> ReadBoolField(JsonReader* reader, std::string_view field) {
  if (reader->Peek() != JsonKind::kBool) return WrongKind(reader, field, "boolean");
  bool value = false;
  if (!reader->ReadBool(&value)) return reader->error();
  return value;
}

Result<std::uint64_t> ReadUintField(JsonReader* reader, std::string_view field) {
  if (reader->Peek() != JsonKind::kNumber) return WrongKind(reader, field, "unsigned-integer");
  JsonNumber number;
  if (!reader->ReadNumber(&number)) return reader->error();
  if (!number.integer || (number.negative && number.magnitude != 0)) {
    return InvalidArgument("field_type",
                           "Unable to parse '" + std::string(field) +
                               "': attempt to access JSON non-unsigned-integer as unsigned-integer");
  }
  return number.magnitude;
}

Result<inference::ParameterValue> ReadParameter(JsonReader* reader, std::string_view name) {
  switch (reader->Peek()) {
    case JsonKind::kBool: {
      bool value = false;
      if (!reader->ReadBool(&value)) return reader->error();
      return inference::ParameterValue(value);
    }
    case JsonKind::kString: {
      std::string_view value;
      if (!reader->ReadString(&value)) return reader->error();
      return inference::ParameterValue(std::string(value));
    }
    case JsonKind::kNumber: {
      constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      JsonNumber number;
      if (!reader->ReadNumber(&number)) return reader->error();
      if (number.integer && number.magnitude <= kMax + (number.negative ? 1 : 0)) {
        return inference::ParameterValue(
            static_cast<std::int64_t>(number.negative ? ~number.magnitude + 1 : number.magnitude));
      }
      return inference::ParameterValue(number.value);
    }
    case JsonKind::kNone:
      return WrongKind(reader, name, "string");
    default:
      break;
  }
  return InvalidArgument("parameter_type",
                         "parameter '" + Printable(name) +
                             "' has invalid type. It should be either 'int', 'bool', 'double' or "
                             "'string', found " +
                             std::string(JsonReader::KindName(reader->Peek())));
}

}  // namespace mezzo::api::v2http
