#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::tenancy {

/// Who may call. Immutable after construction; thread-safe.
class Directory {
 public:
  struct KeyEntry {
    std::string sha256;  ///< Of the whole key, 64 lower-case hex digits. The key itself is nowhere.
    TenantRef tenant;
  };

  /// Without keys, one anonymous tenant with all scopes is admitted from loopback, and from elsewhere only
  /// when `insecure` is set. With keys, only they are admitted.
  Directory(std::vector<TenantRef> tenants, std::vector<KeyEntry> keys, bool insecure);

  /// `credential` is the value of an Authorization header ("Bearer <key>") or of X-Api-Key; empty: none
  /// given. Errors: kUnauthenticated "key_missing" or "key_unknown".
  [[nodiscard]] Result<TenantRef> Authenticate(std::string_view credential, bool from_loopback) const;

  [[nodiscard]] const std::vector<TenantRef>& tenants() const { return tenants_; }
  /// For work that outlives the call it came with: kFailedPrecondition "tenant_unknown".
  [[nodiscard]] Result<TenantRef> Find(const TenantId& id) const;
  [[nodiscard]] bool has_keys() const { return !keys_.empty(); }

 private:
  std::vector<TenantRef> tenants_;
  std::unordered_map<std::string, TenantRef>
      keys_;  ///< By digest, so that a look-up tells nothing by its time.
  bool insecure_;
};

/// Authenticate, then demand a scope: kPermissionDenied "scope_missing" naming it.
Result<TenantRef> Admit(const Directory& directory, std::string_view credential, bool from_loopback,
                        Scope scope);

/// kPermissionDenied "scope_missing", naming the scope, unless the tenant has it.
Result<void> Demand(const Tenant& tenant, Scope scope);

/// "infer", "observe", "admin".
std::string_view ScopeName(Scope scope);

}  // namespace mezzo::tenancy
