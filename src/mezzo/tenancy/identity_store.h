#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::tenancy {

/// Told, without a payload, after every change of an identity.
inline constexpr std::string_view kIdentitiesChannel = "mezzo_tenancy";

/// Tenants, projects, users and API keys in the database. Each change is one transaction, which also counts
/// the revision up and tells kIdentitiesChannel. Of keys only the digest is kept. Blocks. Thread-safe; many
/// hosts share one database.
///
/// Errors beyond those named: CheckId()'s, kNotFound "tenant_unknown", SqlDb's.
class IdentityStore {
 public:
  struct Options {
    std::size_t max_projects = 1000;  ///< Of a tenant.
    std::size_t max_users = 10'000;
    std::size_t max_keys = 10'000;  ///< Of a tenant; those that are over count too, until they are forgotten.
  };
  /// `db` and `clock` outlive the store.
  IdentityStore(Options options, storage::SqlDb& db, const Clock& clock);

  /// kAlreadyExists "tenant_exists"; kInvalidArgument "tenant_weight".
  Result<TenantRecord> CreateTenant(const TenantId& id, const TenantSettings& settings, TimePoint deadline);
  /// As the configuration has it: made or changed, under whatever id. Nothing is counted up when it was so.
  Result<void> DeclareTenant(const TenantId& id, const TenantSettings& settings, TimePoint deadline);
  Result<TenantRecord> ChangeTenant(const TenantId& id, const TenantSettings& settings, TimePoint deadline);
  Result<TenantRecord> GetTenant(const TenantId& id, TimePoint deadline);
  /// In the order of their ids, from the one after `after` on.
  Result<std::vector<TenantRecord>> ListTenants(const TenantId& after, std::size_t limit, TimePoint deadline);

  /// kAlreadyExists "project_exists", kResourceExhausted "too_many_projects".
  Result<ProjectRecord> CreateProject(const TenantId& tenant, const ProjectId& id, const std::string& name,
                                      TimePoint deadline);
  Result<std::vector<ProjectRecord>> ListProjects(const TenantId& tenant, TimePoint deadline);

  /// Adds the user, or gives them another role. kResourceExhausted "too_many_users".
  Result<UserRecord> PutUser(UserRecord user, TimePoint deadline);
  /// kNotFound "user_unknown".
  Result<void> RemoveUser(const TenantId& tenant, const std::string& issuer, const std::string& subject,
                          TimePoint deadline);
  Result<std::vector<UserRecord>> ListUsers(const TenantId& tenant, TimePoint deadline);

  /// kNotFound "project_unknown", kResourceExhausted "too_many_keys".
  Result<IssuedKey> CreateKey(const NewKey& key, TimePoint deadline);
  /// kNotFound "key_not_found".
  Result<KeyRecord> GetKey(const TenantId& tenant, const KeyId& id, TimePoint deadline);
  /// A new key like `id`, which itself ends after `overlap`, if it does not end before. kNotFound
  /// "key_not_found"; kFailedPrecondition "key_ended" when it has been revoked or has expired.
  Result<IssuedKey> RotateKey(const TenantId& tenant, const KeyId& id, Duration overlap,
                              const std::string& by, TimePoint deadline);
  /// At once. Revoking it again changes nothing. kNotFound "key_not_found".
  Result<KeyRecord> RevokeKey(const TenantId& tenant, const KeyId& id, TimePoint deadline);
  Result<std::vector<KeyRecord>> ListKeys(const TenantId& tenant, const KeyId& after, std::size_t limit,
                                          TimePoint deadline);
  /// When keys were last used; does not count as a change.
  Result<void> TouchKeys(const std::vector<std::pair<KeyId, WallTime>>& used, TimePoint deadline);

  /// The first start: when there is no tenant that may administer, makes the tenant "platform" and a key of
  /// it with the scope `admin`. Several hosts at once make one.
  Result<std::optional<IssuedKey>> MakeFirstAdmin(TimePoint deadline);

  /// Everything that lets somebody in, as of one revision.
  struct Everything {
    std::int64_t revision = 0;
    std::vector<TenantRecord> tenants;
    std::vector<UserRecord> users;
    struct Key {
      KeyRecord record;
      Sha256Digest digest{};
    };
    std::vector<Key> keys;  ///< Without those that have been revoked or have expired.
    std::vector<Limit> limits;
  };
  /// Nothing when the revision is still `known`.
  Result<std::optional<Everything>> Load(std::int64_t known, TimePoint deadline);

 private:
  Result<IssuedKey> InsertKey(storage::SqlSession& session, const NewKey& key) const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::tenancy
