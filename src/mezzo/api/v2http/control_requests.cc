#include "mezzo/api/v2http/control_requests.h"

#include "mezzo/api/json_reader.h"
#include "mezzo/api/v2http/internal/json_fields.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::v2http {
namespace {

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxMembers = 1024;
constexpr std::size_t kMaxTextBytes = 4096;

/// Calls visit(key) for each member of the object that is next; visit reads the value.
template <typename Visit>
Result<void> ForEachMember(JsonReader* reader, std::string_view field, const Visit& visit) {
  std::string_view key;
  std::size_t count = 0;
  if (reader->Peek() != JsonKind::kObject) return WrongKind(reader, field, "object");
  if (!reader->EnterObject()) return reader->error();
  while (reader->NextMember(&key)) {
    if (++count > kMaxMembers) {
      return InvalidArgument("too_many_parameters", "more than " + std::to_string(kMaxMembers) +
                                                        " members in '" + std::string(field) + "'");
    }
    MEZZO_TRY_VOID(visit(key));
  }
  if (reader->failed()) return reader->error();
  return {};
}

Result<void> Skip(JsonReader* reader) {
  if (!reader->Skip()) return reader->error();
  return {};
}

/// The whole body as one object.
template <typename Visit>
Result<void> ReadBody(std::string_view body, const Visit& visit) {
  if (Trim(body).empty()) return {};
  JsonReader reader(body, kMaxDepth);
  const auto member = [&](std::string_view key) { return visit(&reader, key); };
  MEZZO_TRY_VOID(ForEachMember(&reader, "request", member));
  if (!reader.Finish()) return reader.error();
  return {};
}

/// The object in the body's "parameters".
template <typename Visit>
Result<void> ReadParametersOfBody(std::string_view body, const Visit& visit) {
  const auto member = [&visit](JsonReader* reader, std::string_view key) -> Result<void> {
    if (key != "parameters") return Skip(reader);
    const auto parameter = [&](std::string_view name) { return visit(reader, name); };
    return ForEachMember(reader, "parameters", parameter);
  };
  return ReadBody(body, member);
}

Result<std::string> ReadSettingText(JsonReader* reader, std::string_view name) {
  if (reader->Peek() == JsonKind::kNumber) {
    JsonNumber number;
    if (!reader->ReadNumber(&number)) return reader->error();
    if (number.integer) return (number.negative ? "-" : "") + std::to_string(number.magnitude);
    return std::to_string(number.value);
  }
  MEZZO_TRY(const std::string_view text, ReadStringField(reader, name, kMaxTextBytes));
  return std::string(text);
}

Result<TraceChange> ReadTraceChange(JsonReader* reader, std::string_view key) {
  TraceChange change{.name = std::string(key), .values = {}, .clear = false};
  switch (reader->Peek()) {
    case JsonKind::kNull:
      change.clear = true;
      if (!reader->ReadNull()) return reader->error();
      return change;
    case JsonKind::kArray: {
      if (!reader->EnterArray()) return reader->error();
      while (reader->NextElement()) {
        if (change.values.size() >= kMaxMembers) {
          return InvalidArgument("setting_invalid", "more than " + std::to_string(kMaxMembers) +
                                                        " values in '" + Printable(key) + "'");
        }
        MEZZO_TRY(std::string value, ReadSettingText(reader, key));
        change.values.push_back(std::move(value));
      }
      if (reader->failed()) return reader->error();
      return change;
    }
    default:
      break;
  }
  MEZZO_TRY(std::string value, ReadSettingText(reader, key));
  change.values.push_back(std::move(value));
  return change;
}

Result<LogChange> ReadLogChange(JsonReader* reader, std::string_view key) {
  LogChange change{.name = std::string(key), .value = false};
  if (reader->Peek() == JsonKind::kBool) {
    MEZZO_TRY(change.value, ReadBoolField(reader, key));
  } else if (reader->Peek() == JsonKind::kNumber) {
    MEZZO_TRY(change.value, ReadUintField(reader, key));
  } else {
    MEZZO_TRY(const std::string_view text, ReadStringField(reader, key, kMaxTextBytes));
    change.value = std::string(text);
  }
  return change;
}

}  // namespace

Result<bool> ReadIndexRequest(std::string_view body) {
  bool ready = false;
  const auto member = [&ready](JsonReader* reader, std::string_view key) -> Result<void> {
    if (key != "ready") return Skip(reader);
    if (reader->Peek() != JsonKind::kBool) {
      return InvalidArgument("field_type", "Invalid value for 'ready': expected a boolean");
    }
    MEZZO_TRY(ready, ReadBoolField(reader, key));
    return {};
  };
  MEZZO_TRY_VOID(ReadBody(body, member));
  return ready;
}

Result<models::LoadOverrides> ReadLoadRequest(std::string_view body) {
  constexpr std::string_view kFile = "file:";
  models::LoadOverrides overrides;
  const auto parameter = [&](JsonReader* reader, std::string_view name) -> Result<void> {
    if (name == "config") {
      MEZZO_TRY(overrides.config_json, ReadStringField(reader, name, body.size()));
      return {};
    }
    if (name.substr(0, kFile.size()) != kFile) {
      return InvalidArgument("parameter_unknown", "unknown load parameter '" + Printable(name) +
                                                      "': expected 'config' or 'file:<version>/<name>'");
    }
    MEZZO_TRY(const std::string_view text, ReadStringField(reader, name, body.size()));
    auto content = Base64Decode(text);
    if (!content.ok()) return std::move(content).error().WithContext("parameter '" + Printable(name) + "'");
    if (!overrides.files.emplace(name.substr(kFile.size()), std::move(*content)).second)
      return DuplicateField(name);
    return {};
  };
  MEZZO_TRY_VOID(ReadParametersOfBody(body, parameter));
  if (!overrides.files.empty() && overrides.config_json.empty()) {
    return InvalidArgument("load_config_missing",
                           "the parameter 'config' must be given together with 'file:' parameters");
  }
  return overrides;
}

Result<void> CheckUnloadRequest(std::string_view body) {
  const auto parameter = [](JsonReader* reader, std::string_view name) -> Result<void> {
    if (name != "unload_dependents") return Skip(reader);
    MEZZO_TRY([[maybe_unused]] const bool dependents, ReadBoolField(reader, name));
    return {};
  };
  return ReadParametersOfBody(body, parameter);
}

Result<RegisterRequest> ReadRegisterRequest(std::string_view body) {
  std::optional<std::string_view> key;
  std::optional<std::uint64_t> byte_size;
  RegisterRequest request;
  const auto member = [&](JsonReader* reader, std::string_view name) -> Result<void> {
    if (name == "key") {
      MEZZO_TRY(key, ReadStringField(reader, name, kMaxTextBytes));
      request.key = *key;
    } else if (name == "offset") {
      MEZZO_TRY(request.offset, ReadUintField(reader, name));
    } else if (name == "byte_size") {
      MEZZO_TRY(byte_size, ReadUintField(reader, name));
    } else {
      return Skip(reader);
    }
    return {};
  };
  MEZZO_TRY_VOID(ReadBody(body, member));
  if (!key) return InvalidArgument("field_missing", "Shared memory register request has no 'key' field");
  if (!byte_size)
    return InvalidArgument("field_missing", "Shared memory register request has no 'byte_size' field");
  request.byte_size = *byte_size;
  return request;
}

Result<std::vector<TraceChange>> ReadTraceRequest(std::string_view body) {
  std::vector<TraceChange> changes;
  const auto member = [&changes](JsonReader* reader, std::string_view key) -> Result<void> {
    MEZZO_TRY(TraceChange change, ReadTraceChange(reader, key));
    changes.push_back(std::move(change));
    return {};
  };
  MEZZO_TRY_VOID(ReadBody(body, member));
  return changes;
}

Result<std::vector<LogChange>> ReadLogRequest(std::string_view body) {
  std::vector<LogChange> changes;
  const auto member = [&changes](JsonReader* reader, std::string_view key) -> Result<void> {
    if (reader->Peek() == JsonKind::kNull) return Skip(reader);
    MEZZO_TRY(LogChange change, ReadLogChange(reader, key));
    changes.push_back(std::move(change));
    return {};
  };
  MEZZO_TRY_VOID(ReadBody(body, member));
  return changes;
}

}  // namespace mezzo::api::v2http
