#include "mezzo/tenancy/identity_store.h"

#include <cmath>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/api_key.h"
#include "mezzo/tenancy/internal/identity_rows.h"

namespace mezzo::tenancy {
namespace {

using internal::ClassesText;
using internal::CountUp;
using internal::FromMicros;
using internal::kKeyColumns;
using internal::kTenantColumns;
using internal::kUserColumns;
using internal::MaybeMicros;
using internal::ScopesText;
using internal::TiersText;
using internal::ToMicros;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

constexpr std::size_t kMaxName = 200;

std::int64_t Flag(bool value) { return value ? 1 : 0; }

std::string Select(std::string_view columns, std::string_view rest) {
  return "SELECT " + std::string(columns) + " " + std::string(rest);
}

Result<void> CheckName(std::string_view name) {
  if (name.size() <= kMaxName) return {};
  return InvalidArgument("name_too_long", "a name has " + std::to_string(name.size()) +
                                              " bytes; the limit is " + std::to_string(kMaxName));
}

Result<void> CheckSettings(const TenantSettings& settings) {
  constexpr double kHeaviest = 1000;
  MEZZO_TRY_VOID(CheckName(settings.name));
  if (std::isfinite(settings.weight) && settings.weight > 0 && settings.weight <= kHeaviest) return {};
  return InvalidArgument("tenant_weight", "the weight must be in (0, 1000]");
}

Error NoTenant(const TenantId& id) {
  return NotFound("tenant_unknown", "there is no tenant '" + Printable(id.str(), 64) + "'");
}
Error NoKey(const KeyId& id) {
  return NotFound("key_not_found", "the tenant has no key '" + Printable(id.str(), 64) + "'");
}

Result<TenantRecord> ReadTenant(SqlSession& session, const TenantId& id) {
  static const std::string sql = Select(kTenantColumns, "FROM tenants WHERE id = $1");
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {id.str()}));
  if (rows.empty()) return NoTenant(id);
  return internal::TenantAt(rows, 0);
}

/// Whether `sql`, which counts rows of the tenant, counts `limit` or more.
Result<bool> IsFull(SqlSession& session, std::string_view sql, const TenantId& tenant, std::size_t limit) {
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {tenant.str()}));
  return static_cast<std::size_t>(rows.Int(0, 0)) >= limit;
}

std::string HasAll(const TenantId& tenant, std::size_t limit, std::string_view what) {
  return "tenant '" + tenant.str() + "' has all the " + std::string(what) +
         " that it may have: " + std::to_string(limit);
}

Result<KeyRecord> ReadKey(SqlSession& session, const TenantId& tenant, const KeyId& id) {
  static const std::string sql = Select(kKeyColumns, "FROM api_keys WHERE id = $1 AND tenant = $2");
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {id.str(), tenant.str()}));
  if (rows.empty()) return NoKey(id);
  return internal::KeyAt(rows, 0);
}

}  // namespace

IdentityStore::IdentityStore(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(options), db_(db), clock_(clock) {}

// --- Tenants

Result<TenantRecord> IdentityStore::CreateTenant(const TenantId& id, const TenantSettings& settings,
                                                 TimePoint deadline) {
  MEZZO_TRY_VOID(CheckId("tenant", id.str()));
  MEZZO_TRY_VOID(CheckSettings(settings));
  std::optional<TenantRecord> made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(
        const SqlRows rows,
        session.Run(
            "INSERT INTO tenants (id, name, weight, classes, platform, suspended, created_us, tiers) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            {id.str(), settings.name, settings.weight, ClassesText(settings.classes), Flag(settings.platform),
             Flag(settings.suspended), ToMicros(clock_.WallNow()), TiersText(settings.tiers)}));
    if (rows.affected() == 0) {
      return AlreadyExists("tenant_exists", "there is a tenant '" + id.str() + "' already");
    }
    MEZZO_TRY(made, ReadTenant(session, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *made;
}

Result<void> IdentityStore::DeclareTenant(const TenantId& id, const TenantSettings& settings,
                                          TimePoint deadline) {
  MEZZO_TRY_VOID(CheckSettings(settings));
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::string classes = ClassesText(settings.classes);
    const std::string tiers = TiersText(settings.tiers);
    MEZZO_TRY(const SqlRows same,
              session.Run("SELECT 1 FROM tenants WHERE id = $1 AND weight = $2 AND classes = $3 AND "
                          "platform = $4 AND suspended = 0 AND tiers = $5",
                          {id.str(), settings.weight, classes, Flag(settings.platform), tiers}));
    if (!same.empty()) return {};
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO tenants (id, name, weight, classes, platform, suspended, created_us, tiers) "
        "VALUES ($1, $2, $3, $4, $5, 0, $6, $7) ON CONFLICT (id) DO UPDATE SET weight = excluded.weight, "
        "classes = excluded.classes, platform = excluded.platform, suspended = 0, tiers = excluded.tiers",
        {id.str(), settings.name, settings.weight, classes, Flag(settings.platform),
         ToMicros(clock_.WallNow()), tiers}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<TenantRecord> IdentityStore::ChangeTenant(const TenantId& id, const TenantSettings& settings,
                                                 TimePoint deadline) {
  MEZZO_TRY_VOID(CheckSettings(settings));
  std::optional<TenantRecord> changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(
        session.Run("UPDATE tenants SET name = $2, weight = $3, classes = $4, platform = $5, "
                    "suspended = $6, tiers = $7 WHERE id = $1",
                    {id.str(), settings.name, settings.weight, ClassesText(settings.classes),
                     Flag(settings.platform), Flag(settings.suspended), TiersText(settings.tiers)}));
    MEZZO_TRY(changed, ReadTenant(session, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *changed;
}

Result<TenantRecord> IdentityStore::GetTenant(const TenantId& id, TimePoint deadline) {
  std::optional<TenantRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadTenant(session, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return *found;
}

Result<std::vector<TenantRecord>> IdentityStore::ListTenants(const TenantId& after, std::size_t limit,
                                                             TimePoint deadline) {
  static const std::string sql = Select(kTenantColumns, "FROM tenants WHERE id > $1 ORDER BY id LIMIT $2");
  std::vector<TenantRecord> tenants;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {after.str(), static_cast<std::int64_t>(limit)}));
    for (std::size_t i = 0; i < rows.size(); ++i) tenants.push_back(internal::TenantAt(rows, i));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return tenants;
}

// --- Projects

Result<ProjectRecord> IdentityStore::CreateProject(const TenantId& tenant, const ProjectId& id,
                                                   const std::string& name, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckId("project", id.str()));
  MEZZO_TRY_VOID(CheckName(name));
  const WallTime now = FromMicros(ToMicros(clock_.WallNow()));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(ReadTenant(session, tenant));
    MEZZO_TRY(const bool full, IsFull(session, "SELECT COUNT(*) FROM tenant_projects WHERE tenant = $1",
                                      tenant, options_.max_projects));
    if (full)
      return ResourceExhausted("too_many_projects", HasAll(tenant, options_.max_projects, "projects"));
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("INSERT INTO tenant_projects (tenant, id, name, created_us) VALUES ($1, $2, $3, $4) "
                    "ON CONFLICT (tenant, id) DO NOTHING",
                    {tenant.str(), id.str(), name, ToMicros(now)}));
    if (rows.affected() != 0) return {};
    return AlreadyExists("project_exists", "there is a project '" + id.str() + "' already");
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return ProjectRecord{.tenant = tenant, .id = id, .name = name, .created = now};
}

Result<std::vector<ProjectRecord>> IdentityStore::ListProjects(const TenantId& tenant, TimePoint deadline) {
  std::vector<ProjectRecord> projects;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(ReadTenant(session, tenant));
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT id, name, created_us FROM tenant_projects WHERE tenant = $1 ORDER BY id "
                          "LIMIT $2",
                          {tenant.str(), static_cast<std::int64_t>(options_.max_projects)}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      projects.push_back({.tenant = tenant,
                          .id = ProjectId(rows.Text(i, 0)),
                          .name = rows.Text(i, 1),
                          .created = FromMicros(rows.Int(i, 2))});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return projects;
}

// --- Users

Result<UserRecord> IdentityStore::PutUser(UserRecord user, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckName(user.name));
  MEZZO_TRY_VOID(CheckName(user.issuer));
  MEZZO_TRY_VOID(CheckName(user.subject));
  if (user.subject.empty()) return InvalidArgument("user_subject", "a user needs a subject");
  static const std::string read =
      Select(kUserColumns, "FROM tenant_users WHERE tenant = $1 AND issuer = $2 AND subject = $3");
  std::optional<UserRecord> put;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(ReadTenant(session, user.tenant));
    const std::vector<SqlValue> who = {user.tenant.str(), user.issuer, user.subject};
    MEZZO_TRY(SqlRows rows, session.Run(read, who));
    if (rows.empty()) {
      MEZZO_TRY(const bool full, IsFull(session, "SELECT COUNT(*) FROM tenant_users WHERE tenant = $1",
                                        user.tenant, options_.max_users));
      if (full) return ResourceExhausted("too_many_users", HasAll(user.tenant, options_.max_users, "users"));
    }
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO tenant_users (tenant, issuer, subject, name, role, created_us) "
                    "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, issuer, subject) "
                    "DO UPDATE SET name = excluded.name, role = excluded.role",
                    {user.tenant.str(), user.issuer, user.subject, user.name,
                     std::string(RoleName(user.role)), ToMicros(clock_.WallNow())}));
    MEZZO_TRY(rows, session.Run(read, who));
    put = internal::UserAt(rows, 0);
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *put;
}

Result<void> IdentityStore::RemoveUser(const TenantId& tenant, const std::string& issuer,
                                       const std::string& subject, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(const SqlRows rows,
              session.Run("DELETE FROM tenant_users WHERE tenant = $1 AND issuer = $2 AND subject = $3",
                          {tenant.str(), issuer, subject}));
    if (rows.affected() != 0) return {};
    return NotFound("user_unknown", "the tenant has no user '" + Printable(subject, kMaxName) + "'");
  };
  return db_.Transact(work, deadline);
}

Result<std::vector<UserRecord>> IdentityStore::ListUsers(const TenantId& tenant, TimePoint deadline) {
  static const std::string sql =
      Select(kUserColumns, "FROM tenant_users WHERE tenant = $1 ORDER BY issuer, subject LIMIT $2");
  std::vector<UserRecord> users;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(ReadTenant(session, tenant));
    MEZZO_TRY(const SqlRows rows,
              session.Run(sql, {tenant.str(), static_cast<std::int64_t>(options_.max_users)}));
    for (std::size_t i = 0; i < rows.size(); ++i) users.push_back(internal::UserAt(rows, i));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return users;
}

// --- Keys

Result<IssuedKey> IdentityStore::InsertKey(SqlSession& session, const NewKey& key) const {
  MEZZO_TRY(const bool full, IsFull(session, "SELECT COUNT(*) FROM api_keys WHERE tenant = $1", key.tenant,
                                    options_.max_keys));
  if (full) return ResourceExhausted("too_many_keys", HasAll(key.tenant, options_.max_keys, "keys"));
  if (!key.project.empty()) {
    MEZZO_TRY(const SqlRows projects,
              session.Run("SELECT 1 FROM tenant_projects WHERE tenant = $1 AND id = $2",
                          {key.tenant.str(), key.project.str()}));
    if (projects.empty()) {
      return NotFound("project_unknown",
                      "the tenant has no project '" + Printable(key.project.str(), 64) + "'");
    }
  }
  MintedApiKey minted = MintApiKey();
  const WallTime now = FromMicros(ToMicros(clock_.WallNow()));
  MEZZO_TRY_VOID(session.Run(
      "INSERT INTO api_keys (id, digest, tenant, project, name, scopes, created_us, created_by, expires_us) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
      {minted.id, Sha256Hex(minted.text), key.tenant.str(), key.project.str(), key.name,
       ScopesText(key.scopes), ToMicros(now), key.created_by, MaybeMicros(key.expires)}));
  IssuedKey issued;
  issued.record = {.id = KeyId(minted.id), .facts = key, .created = now, .revoked = {}, .last_used = {}};
  issued.text = std::move(minted.text);
  return issued;
}

Result<IssuedKey> IdentityStore::CreateKey(const NewKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckName(key.name));
  if (key.scopes.empty()) return InvalidArgument("scope_unknown", "a key needs a scope");
  std::optional<IssuedKey> issued;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(ReadTenant(session, key.tenant));
    MEZZO_TRY(issued, InsertKey(session, key));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(issued);
}

Result<KeyRecord> IdentityStore::GetKey(const TenantId& tenant, const KeyId& id, TimePoint deadline) {
  std::optional<KeyRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadKey(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return *found;
}

Result<IssuedKey> IdentityStore::RotateKey(const TenantId& tenant, const KeyId& id, Duration overlap,
                                           const std::string& by, TimePoint deadline) {
  std::optional<IssuedKey> issued;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(const KeyRecord old, ReadKey(session, tenant, id));
    const WallTime now = clock_.WallNow();
    if (old.revoked || (old.facts.expires && *old.facts.expires <= now)) {
      return FailedPrecondition("key_ended", "key '" + id.str() + "' has been revoked or has expired");
    }
    NewKey next = old.facts;
    next.created_by = by;
    // A key that was to live for a time lives as long again.
    if (next.expires) next.expires = now + (*next.expires - old.created);
    MEZZO_TRY(issued, InsertKey(session, next));
    MEZZO_TRY_VOID(session.Run(
        "UPDATE api_keys SET expires_us = $2 WHERE id = $1 AND (expires_us IS NULL OR expires_us > $2)",
        {id.str(), ToMicros(now + overlap)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *std::move(issued);
}

Result<KeyRecord> IdentityStore::RevokeKey(const TenantId& tenant, const KeyId& id, TimePoint deadline) {
  std::optional<KeyRecord> revoked;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY_VOID(session.Run(
        "UPDATE api_keys SET revoked_us = $3 WHERE id = $1 AND tenant = $2 AND revoked_us IS NULL",
        {id.str(), tenant.str(), ToMicros(clock_.WallNow())}));
    MEZZO_TRY(revoked, ReadKey(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return *revoked;
}

Result<std::vector<KeyRecord>> IdentityStore::ListKeys(const TenantId& tenant, const KeyId& after,
                                                       std::size_t limit, TimePoint deadline) {
  static const std::string sql =
      Select(kKeyColumns, "FROM api_keys WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
  std::vector<KeyRecord> keys;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(ReadTenant(session, tenant));
    MEZZO_TRY(const SqlRows rows,
              session.Run(sql, {tenant.str(), after.str(), static_cast<std::int64_t>(limit)}));
    for (std::size_t i = 0; i < rows.size(); ++i) keys.push_back(internal::KeyAt(rows, i));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return keys;
}

Result<void> IdentityStore::TouchKeys(const std::vector<std::pair<KeyId, WallTime>>& used,
                                      TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    for (const auto& [id, at] : used) {
      MEZZO_TRY_VOID(
          session.Run("UPDATE api_keys SET last_used_us = $2 WHERE id = $1 AND "
                      "(last_used_us IS NULL OR last_used_us < $2)",
                      {id.str(), ToMicros(at)}));
    }
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<std::optional<IssuedKey>> IdentityStore::MakeFirstAdmin(TimePoint deadline) {
  const TenantId platform("platform");
  std::optional<IssuedKey> issued;
  const auto work = [&](SqlSession& session) -> Result<void> {
    issued.reset();
    MEZZO_TRY_VOID(CountUp(session));  // One host at a time.
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT COUNT(*) FROM tenants WHERE platform = 1", {}));
    if (rows.Int(0, 0) > 0) return {};
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO tenants (id, name, weight, classes, platform, suspended, created_us) "
                    "VALUES ($1, 'Platform', 1, 'interactive,standard,bulk', 1, 0, $2) "
                    "ON CONFLICT (id) DO UPDATE SET platform = 1",
                    {platform.str(), ToMicros(clock_.WallNow())}));
    const NewKey key{.tenant = platform,
                     .project = {},
                     .name = "first start",
                     .scopes = {Scope::kAdmin},
                     .expires = {},
                     .created_by = "first start"};
    MEZZO_TRY(issued, InsertKey(session, key));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return issued;
}

Result<std::optional<IdentityStore::Everything>> IdentityStore::Load(std::int64_t known, TimePoint deadline) {
  static const std::string tenants = Select(kTenantColumns, "FROM tenants ORDER BY id");
  static const std::string users = Select(kUserColumns, "FROM tenant_users ORDER BY tenant, issuer, subject");
  static const std::string keys =
      Select(kKeyColumns,
             ", digest FROM api_keys WHERE revoked_us IS NULL AND (expires_us IS NULL OR "
             "expires_us > $1) ORDER BY id");
  std::optional<Everything> all;
  const auto work = [&](SqlSession& session) -> Result<void> {
    all.reset();
    MEZZO_TRY(const SqlRows now, session.Run("SELECT revision FROM tenancy_revision WHERE one = 1", {}));
    if (now.Int(0, 0) == known) return {};
    Everything found{.revision = now.Int(0, 0), .tenants = {}, .users = {}, .keys = {}, .limits = {}};
    MEZZO_TRY(const SqlRows tenant_rows, session.Run(tenants, {}));
    for (std::size_t i = 0; i < tenant_rows.size(); ++i)
      found.tenants.push_back(internal::TenantAt(tenant_rows, i));
    MEZZO_TRY(const SqlRows user_rows, session.Run(users, {}));
    for (std::size_t i = 0; i < user_rows.size(); ++i) found.users.push_back(internal::UserAt(user_rows, i));
    MEZZO_TRY(const SqlRows key_rows, session.Run(keys, {ToMicros(clock_.WallNow())}));
    const std::size_t digest_column = key_rows.columns() - 1;
    for (std::size_t i = 0; i < key_rows.size(); ++i) {
      const auto digest = ParseSha256(key_rows.Text(i, digest_column));
      if (digest) found.keys.push_back({.record = internal::KeyAt(key_rows, i), .digest = *digest});
    }
    MEZZO_TRY(found.limits, internal::ReadLimits(session));
    all = std::move(found);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return all;
}

}  // namespace mezzo::tenancy
