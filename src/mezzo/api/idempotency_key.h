#pragma once

#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::api {

/// The value of an Idempotency-Key header: a structured field's string ("…" with quotes) or the bare text; 1
/// to 255 printable characters. Fails with kInvalidArgument "idempotency_key".
Result<std::string> ParseIdempotencyKey(std::string_view value);

}  // namespace mezzo::api
