#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/api/json_reader.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::api::v2http {

/// "Unable to parse '<field>': attempt to access JSON non-<wanted> as <wanted>", as Triton says it, with what
/// was found instead; the reader's own error when the text is malformed there. kInvalidArgument "field_type".
Error WrongKind(JsonReader* reader, std::string_view field, std::string_view wanted);
/// "Unable to parse '<field>': attempt to access non-existing object member '<field>'": "field_missing".
Error MissingField(std::string_view field);
/// A member that came twice: "field_duplicate".
Error DuplicateField(std::string_view field);

/// Each reads one value of the kind in its name; `field` is for messages.
Result<std::string_view> ReadStringField(JsonReader* reader, std::string_view field, std::size_t max_bytes);
Result<bool> ReadBoolField(JsonReader* reader, std::string_view field);
Result<std::uint64_t> ReadUintField(JsonReader* reader, std::string_view field);
/// A scalar: boolean, integer, number or string. Fails with "parameter_type" for others.
Result<inference::ParameterValue> ReadParameter(JsonReader* reader, std::string_view name);

}  // namespace mezzo::api::v2http
