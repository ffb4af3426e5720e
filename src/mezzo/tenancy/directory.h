#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::tenancy {

/// Who may call, as of now: the one place that knows. Thread-safe; a look-up takes a lock for nanoseconds.
class Directory {
 public:
  struct KeyEntry {
    Sha256Digest digest{};  ///< Of the whole key. The key itself is nowhere.
    CallerRef caller;
    std::optional<WallTime> expires;
  };
  /// Everything at once; replaced as a whole.
  struct Contents {
    std::vector<TenantRef> tenants;
    std::vector<KeyEntry> keys;
    /// Who calls without a key; null: nobody may.
    CallerRef anonymous;
    bool anonymous_from_anywhere = false;  ///< Otherwise from loopback only.
  };

  Directory(Contents contents, const Clock& clock);
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// `credential` is the value of an Authorization header ("Bearer <key>") or of X-Api-Key; empty: none
  /// given. While anonymous callers are let in, what has not the form of one of our keys is taken for none:
  /// many clients insist on sending something. Errors: kUnauthenticated "key_missing", "key_unknown" or
  /// "key_expired".
  [[nodiscard]] Result<CallerRef> Authenticate(std::string_view credential, bool from_loopback) const
      EXCLUDES(mu_);

  /// For work that outlives the call it came with: kFailedPrecondition "tenant_unknown".
  [[nodiscard]] Result<TenantRef> Find(const TenantId& id) const EXCLUDES(mu_);
  [[nodiscard]] std::vector<TenantRef> tenants() const EXCLUDES(mu_);
  /// Whether callers without a key are let in from this host.
  [[nodiscard]] bool admits_anonymous() const EXCLUDES(mu_);

  /// Calls that have been admitted go on as they were.
  void Replace(Contents contents) EXCLUDES(mu_);

 private:
  struct DigestHash {
    std::size_t operator()(const Sha256Digest& digest) const noexcept;
  };
  struct Index {
    Contents contents;
    std::unordered_map<Sha256Digest, const KeyEntry*, DigestHash> by_digest;
    std::unordered_map<TenantId, TenantRef> by_id;
  };
  using IndexRef = std::shared_ptr<const Index>;

  static IndexRef MakeIndex(Contents contents);
  [[nodiscard]] IndexRef Now() const EXCLUDES(mu_);

  const Clock& clock_;
  mutable Mutex mu_;
  IndexRef index_ GUARDED_BY(mu_);
};

/// The one decision: who calls, and whether they may do what `scope` says. Every route, RPC and stream asks
/// here, once. Errors: Authenticate()'s; kPermissionDenied "scope_missing".
Result<CallerRef> Admit(const Directory& directory, std::string_view credential, bool from_loopback,
                        Scope scope);

/// kPermissionDenied "scope_missing", naming the scope, unless the caller has it.
Result<void> Demand(const Caller& caller, Scope scope);

}  // namespace mezzo::tenancy
