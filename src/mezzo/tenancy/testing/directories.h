#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/sha256.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::tenancy::testing {

inline TenantRef MakeTenant(std::string id, std::uint32_t index = 0) {
  Tenant tenant;
  tenant.id = TenantId(std::move(id));
  tenant.index = index;
  return std::make_shared<const Tenant>(std::move(tenant));
}

inline CallerRef MakeCaller(TenantRef tenant, ScopeSet scopes = {Scope::kInfer}) {
  return std::make_shared<const Caller>(Caller{.tenant = std::move(tenant), .scopes = scopes});
}
inline CallerRef MakeCaller(std::string tenant, ScopeSet scopes = {Scope::kInfer}) {
  return MakeCaller(MakeTenant(std::move(tenant)), scopes);
}

/// Anybody on this host may do what `scopes` says, as the tenant `id`.
inline Directory::Contents Anybody(std::string id = "anonymous", ScopeSet scopes = {Scope::kAdmin}) {
  const TenantRef tenant = MakeTenant(std::move(id));
  return {.tenants = {tenant}, .keys = {}, .anonymous = MakeCaller(tenant, scopes)};
}

/// Only who has one of these keys, each of a tenant of its own.
struct Keyed {
  std::string key;
  std::string tenant;
  ScopeSet scopes;
};
inline Directory::Contents OnlyKeys(const std::vector<Keyed>& keys) {
  Directory::Contents contents;
  for (const Keyed& entry : keys) {
    const auto index = static_cast<std::uint32_t>(contents.tenants.size());
    contents.tenants.push_back(MakeTenant(entry.tenant, index));
    contents.keys.push_back({.digest = Sha256Of(AsBytes(entry.key)),
                             .caller = MakeCaller(contents.tenants.back(), entry.scopes),
                             .expires = {}});
  }
  return contents;
}

}  // namespace mezzo::tenancy::testing
