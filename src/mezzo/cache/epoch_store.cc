#include "mezzo/cache/epoch_store.h"

#include <array>

#include "mezzo/base/strings.h"

namespace mezzo::cache {
namespace {

using storage::SqlRows;
using storage::SqlSession;

constexpr std::size_t kMaxName = 256;

// The row of the empty name counts for all models. `cache_revision` has one row, which every change counts
// up.
constexpr std::string_view kTables = R"sql(
CREATE TABLE cache_epochs (
  model TEXT NOT NULL PRIMARY KEY,
  epoch BIGINT NOT NULL
);

CREATE TABLE cache_revision (
  one BIGINT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
INSERT INTO cache_revision (one, revision) VALUES (1, 1);
)sql";

// What was last published under each name and version; an empty content when it was withdrawn. Times are
// microseconds of the wall clock. Of a tenant, the row of the empty model counts for all models.
constexpr std::string_view kContents = R"sql(
CREATE TABLE cache_contents (
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  content TEXT NOT NULL,
  since_us BIGINT NOT NULL,
  PRIMARY KEY (model, version)
);

CREATE TABLE cache_tenant_epochs (
  tenant TEXT NOT NULL,
  model TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (tenant, model)
);
)sql";

// `revision` is what the cache's was when the correction came: one each. An empty tenant: everybody's.
constexpr std::string_view kCorrections = R"sql(
CREATE TABLE cache_corrections (
  id TEXT NOT NULL PRIMARY KEY,
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  tenant TEXT NOT NULL,
  content TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  key_digest TEXT NOT NULL UNIQUE,
  key_text {blob} NOT NULL,
  answer {blob} NOT NULL,
  revision BIGINT NOT NULL UNIQUE
);
)sql";

constexpr std::array<storage::Migration, 3> kMigrations = {
    {{.version = 1, .name = "epochs", .sql = kTables, .sqlite = "", .postgres = ""},
     {.version = 2, .name = "contents", .sql = kContents, .sqlite = "", .postgres = ""},
     {.version = 3, .name = "corrections", .sql = kCorrections, .sqlite = "", .postgres = ""}}};

Result<void> CheckName(std::string_view model) {
  if (model.size() <= kMaxName) return {};
  return InvalidArgument("model_name", "a model's name has " + std::to_string(model.size()) +
                                           " bytes; the limit is " + std::to_string(kMaxName));
}

}  // namespace

std::span<const storage::Migration> EpochMigrations() { return kMigrations; }

Result<void> EpochStore::CountChange(SqlSession& session) {
  // The row's lock: a reader that sees this revision sees all changes before it.
  MEZZO_TRY_VOID(session.Run("UPDATE cache_revision SET revision = revision + 1 WHERE one = 1", {}));
  return {};
}

Result<void> EpochStore::Raise(SqlSession& session, std::string_view model) {
  MEZZO_TRY_VOID(CheckName(model));
  MEZZO_TRY_VOID(CountChange(session));
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO cache_epochs (model, epoch) VALUES ($1, 1) "
                  "ON CONFLICT (model) DO UPDATE SET epoch = cache_epochs.epoch + 1",
                  {std::string(model)}));
  return session.Notify({.channel = kEpochsChannel, .payload = ""});
}

Result<void> EpochStore::Raise(std::string_view model, TimePoint deadline) {
  return db_.Transact([&](SqlSession& session) { return Raise(session, model); }, deadline);
}

Result<void> EpochStore::RaiseTenant(SqlSession& session, std::string_view tenant, std::string_view model) {
  MEZZO_TRY_VOID(CheckName(model));
  if (tenant.empty()) return InvalidArgument("tenant_id", "a tenant's part of the cache needs its id");
  MEZZO_TRY_VOID(CountChange(session));
  MEZZO_TRY_VOID(session.Run(
      "INSERT INTO cache_tenant_epochs (tenant, model, epoch) SELECT $1, $2, 1 WHERE $2 = '' OR EXISTS "
      "(SELECT 1 FROM cache_contents WHERE model = $2) "
      "ON CONFLICT (tenant, model) DO UPDATE SET epoch = cache_tenant_epochs.epoch + 1",
      {std::string(tenant), std::string(model)}));
  return session.Notify({.channel = kEpochsChannel, .payload = ""});
}

Result<void> EpochStore::RaiseTenant(std::string_view tenant, std::string_view model, TimePoint deadline) {
  return db_.Transact([&](SqlSession& session) { return RaiseTenant(session, tenant, model); }, deadline);
}

Result<bool> EpochStore::Publish(SqlSession& session, const Publication& publication, std::int64_t now_us) {
  MEZZO_TRY_VOID(CheckName(publication.model));
  // The row's lock makes who publishes the same at the same time wait, and then find it done.
  MEZZO_TRY(const SqlRows put,
            session.Run("INSERT INTO cache_contents (model, version, content, since_us) "
                        "VALUES ($1, $2, $3, $4) ON CONFLICT (model, version) DO UPDATE "
                        "SET content = excluded.content, since_us = excluded.since_us "
                        "WHERE cache_contents.content <> excluded.content",
                        {publication.model, publication.version, HexEncode(publication.content), now_us}));
  if (put.affected() == 0 && !publication.again) return false;
  if (put.affected() > 0) {
    MEZZO_TRY_VOID(
        session.Run("DELETE FROM cache_corrections WHERE model = $1 AND version = $2 AND content <> $3",
                    {publication.model, publication.version, HexEncode(publication.content)}));
  }
  MEZZO_TRY_VOID(Raise(session, publication.model));
  return true;
}

Result<bool> EpochStore::Publish(const Publication& publication, std::int64_t now_us, TimePoint deadline) {
  bool raised = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(raised, Publish(session, publication, now_us));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return raised;
}

Result<bool> EpochStore::Withdraw(SqlSession& session, std::string_view model, std::string_view version,
                                  std::int64_t now_us) {
  MEZZO_TRY(const SqlRows put, session.Run("UPDATE cache_contents SET content = '', since_us = $3 "
                                           "WHERE model = $1 AND version = $2 AND content <> ''",
                                           {std::string(model), std::string(version), now_us}));
  if (put.affected() == 0) return false;
  MEZZO_TRY_VOID(Raise(session, model));
  return true;
}

Result<bool> EpochStore::Withdraw(std::string_view model, std::string_view version, std::int64_t now_us,
                                  TimePoint deadline) {
  bool raised = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(raised, Withdraw(session, model, version, now_us));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return raised;
}

Result<std::optional<Epochs>> EpochStore::Load(std::int64_t known, TimePoint deadline) {
  std::optional<Epochs> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.reset();
    MEZZO_TRY(const SqlRows revision, session.Run("SELECT revision FROM cache_revision WHERE one = 1", {}));
    if (revision.empty()) return Internal("cache_revision", "the table cache_revision has lost its row");
    if (revision.Int(0, 0) == known) return {};
    Epochs epochs;
    epochs.revision = revision.Int(0, 0);
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT model, epoch FROM cache_epochs", {}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto epoch = static_cast<std::uint64_t>(rows.Int(row, 1));
      if (rows.Text(row, 0).empty()) {
        epochs.all = epoch;
      } else {
        epochs.models.emplace(rows.Text(row, 0), epoch);
      }
    }
    MEZZO_TRY(const SqlRows tenants, session.Run("SELECT tenant, model, epoch FROM cache_tenant_epochs", {}));
    for (std::size_t row = 0; row < tenants.size(); ++row) {
      epochs.tenants[tenants.Text(row, 0)][tenants.Text(row, 1)] =
          static_cast<std::uint64_t>(tenants.Int(row, 2));
    }
    found = std::move(epochs);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

}  // namespace mezzo::cache
