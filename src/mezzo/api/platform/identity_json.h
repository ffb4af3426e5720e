#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::platform {

// Identities as the API shows and takes them (docs/protocol-tenants.md). What is taken fails with
// kInvalidArgument "request_member", or "scope_unknown".

nlohmann::ordered_json ToJson(const tenancy::TenantRecord& tenant);
nlohmann::ordered_json ToJson(const tenancy::ProjectRecord& project);
nlohmann::ordered_json ToJson(const tenancy::UserRecord& user);
nlohmann::ordered_json ToJson(const tenancy::KeyRecord& key);
/// With the key's text, which is shown this once.
nlohmann::ordered_json ToJson(const tenancy::IssuedKey& key);
/// Who calls.
nlohmann::ordered_json ToJson(const tenancy::Caller& caller);
/// Who calls, in a word for histories: the person, else the key, else the tenant.
std::string NameOf(const tenancy::Caller& caller);

struct TenantRequest {
  std::string id;  ///< Empty where the path says it.
  tenancy::TenantSettings settings;
};
/// What is not said stays as in `now`; `with_id`: whether the body names the tenant.
Result<TenantRequest> ParseTenant(std::string_view body, const tenancy::TenantSettings& now, bool with_id);

struct ProjectRequest {
  std::string id;
  std::string name;
};
Result<ProjectRequest> ParseProject(std::string_view body);

/// Without its tenant.
Result<tenancy::UserRecord> ParseUser(std::string_view body);

/// Without its tenant and creator. Without scopes and role: {infer}.
Result<tenancy::NewKey> ParseKey(std::string_view body, bool platform, WallTime now);

/// How long the old key goes on; a day unless the body says it.
Result<Duration> ParseRotation(std::string_view body);

}  // namespace mezzo::api::platform
