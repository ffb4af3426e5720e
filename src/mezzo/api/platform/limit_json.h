#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/result.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::api::platform {

/// A limit as the API shows it (docs/protocol-tenants.md). `declared`: by the configuration, not the
/// database.
nlohmann::ordered_json ToJson(const tenancy::Limit& limit, bool declared);

/// The body of a PUT, under the path's name; what is not said is empty. kInvalidArgument "request_member",
/// "limit_invalid".
Result<tenancy::Limit> ParseLimit(std::string_view body, std::string name);

}  // namespace mezzo::api::platform
