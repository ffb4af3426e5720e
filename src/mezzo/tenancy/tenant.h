#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "mezzo/base/strong_id.h"
#include "mezzo/tenancy/scope.h"

namespace mezzo::tenancy {

/// Whom work is done for and charged to. Immutable; shared by the calls of the tenant.
struct Tenant {
  TenantId id;
  std::uint32_t index = 0;  ///< Dense, stable while the process runs; the scheduler's handle.
  double weight = 1.0;
  std::array<bool, 3> classes = {true, true, true};  ///< Allowed: interactive, standard, bulk.
  std::array<bool, 3> tiers = {true, true, true};    ///< Allowed for jobs: paid, urgent, free.
  bool platform = false;                             ///< Its callers may have scopes that reach all tenants.

  /// Neither paid nor urgent: the first to wait and to be refused.
  [[nodiscard]] bool free_tier() const { return !platform && !tiers[0] && !tiers[1]; }
};
using TenantRef = std::shared_ptr<const Tenant>;

/// When a key was last used. Thread-safe.
struct KeyUse {
  std::atomic<std::int64_t> last_us{0};  ///< Unix time; no partner.
};

/// Who calls, and what they may do: an API key, a person, or anybody on this host. Immutable; shared by the
/// calls of the key.
struct Caller {
  TenantRef tenant;
  ScopeSet scopes = {Scope::kInfer};
  ProjectId project;            ///< Empty: the tenant's own.
  std::uint32_t key_index = 0;  ///< Dense, stable while the process runs; 0: no key.
  KeyId key;                    ///< Empty: no key.
  std::string user;             ///< A person's subject; empty: a key.
  std::shared_ptr<KeyUse> use;  ///< Null: nobody keeps it.

  [[nodiscard]] bool Has(Scope scope) const { return scopes.Has(scope); }
};
using CallerRef = std::shared_ptr<const Caller>;

}  // namespace mezzo::tenancy
