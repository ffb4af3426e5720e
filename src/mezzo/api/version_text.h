#pragma once

#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::api {

/// A version as clients write it: empty (any), or a decimal number of at most 63 bits. Fails with
/// kInvalidArgument "version_invalid".
Result<void> CheckVersion(std::string_view version);

}  // namespace mezzo::api
