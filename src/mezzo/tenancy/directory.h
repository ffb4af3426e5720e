#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/published.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/storage/lru_map.h"
#include "mezzo/tenancy/person.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::tenancy {

class OidcProvider;

/// Who may call, as of now: the one place that knows. Thread-safe; a look-up takes a lock for nanoseconds.
class Directory {
 public:
  struct KeyEntry {
    Sha256Digest digest{};  ///< Of the whole key. The key itself is nowhere.
    CallerRef caller;
    std::optional<WallTime> expires;
  };
  /// A person who has a place in a tenant.
  struct PersonEntry {
    std::string issuer;
    std::string subject;
    CallerRef caller;
  };
  /// Everything at once; replaced as a whole.
  struct Contents {
    std::vector<TenantRef> tenants;
    std::vector<KeyEntry> keys;
    std::vector<PersonEntry> people;  ///< Of tenants that are not suspended.
    std::vector<TenantId> suspended;  ///< Nobody is let in by what their issuer says of them.
    /// Who calls without a key; null: nobody may.
    CallerRef anonymous;
    bool anonymous_from_anywhere = false;  ///< Otherwise from loopback only.
  };

  Directory(Contents contents, const Clock& clock);
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// `credential` is the value of an Authorization header ("Bearer <key>") or of X-Api-Key; empty: none
  /// given. While anonymous callers are let in, what has not the form of one of our keys is taken for none:
  /// many clients insist on sending something; with a provider of people a token never is. Errors:
  /// kUnauthenticated "key_missing", "key_unknown" or "key_expired"; of tokens, OidcProvider::Verify()'s and
  /// kPermissionDenied "person_unknown" or "person_ambiguous".
  [[nodiscard]] Result<CallerRef> Authenticate(std::string_view credential, bool from_loopback) const;

  /// Who verifies tokens from now on; outlives the directory's calls. Null: nobody does.
  void set_people(OidcProvider* provider) { provider_.store(provider, std::memory_order_release); }

  /// For work that outlives the call it came with: kFailedPrecondition "tenant_unknown".
  [[nodiscard]] Result<TenantRef> Find(const TenantId& id) const;
  /// Who calls with the key of that id: kNotFound "key_not_found".
  [[nodiscard]] Result<CallerRef> FindKey(const KeyId& id) const;
  [[nodiscard]] std::vector<TenantRef> tenants() const;
  /// Whether callers without a key are let in from this host.
  [[nodiscard]] bool admits_anonymous() const;

  /// Calls that have been admitted go on as they were.
  void Replace(Contents contents);

 private:
  static constexpr std::size_t kMaxMade = 4096;
  struct DigestHash {
    std::size_t operator()(const Sha256Digest& digest) const noexcept;
  };
  struct Index {
    Contents contents;
    std::unordered_map<Sha256Digest, const KeyEntry*, DigestHash> by_digest;
    std::unordered_map<TenantId, TenantRef> by_id;  // Suspended ones too.
    std::unordered_map<std::string, std::vector<CallerRef>> by_person;
    std::unordered_map<KeyId, CallerRef> by_key;  ///< Without declared keys, which have no id.
  };
  using IndexRef = std::shared_ptr<const Index>;

  static IndexRef MakeIndex(Contents contents);
  /// The person's place: in the tenant that their claims name, else in the only one that has them. The
  /// database's role goes before that of the claims.
  [[nodiscard]] Result<CallerRef> CallerOf(const Index& index, const Person& person) const;
  [[nodiscard]] CallerRef CallerByClaims(const TenantRef& tenant, const Person& person) const
      EXCLUDES(made_mu_);

  const Clock& clock_;
  Published<Index> index_;
  std::atomic<OidcProvider*> provider_{nullptr};  // Published once it is whole.
  mutable Mutex made_mu_;
  mutable storage::LruMap<CallerRef> made_ GUARDED_BY(made_mu_){kMaxMade};  // By claims.
};

/// The one decision: who calls, and whether they may do what `scope` says. Every route, RPC and stream asks
/// here, once. Errors: Authenticate()'s; kPermissionDenied "scope_missing".
Result<CallerRef> Admit(const Directory& directory, std::string_view credential, bool from_loopback,
                        Scope scope);

/// kPermissionDenied "scope_missing", naming the scope, unless the caller has it.
Result<void> Demand(const Caller& caller, Scope scope);

}  // namespace mezzo::tenancy
