#include <map>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/internal/tracking_rows.h"
#include "mezzo/lifecycle/tracking_store.h"

// Experiments.

namespace mezzo::lifecycle {
namespace {

using internal::ExperimentAt;
using internal::kDefaultName;
using internal::kExperimentColumns;
using internal::kTag;
using internal::NoExperiment;
using internal::NoTag;
using internal::OwnerOf;
using storage::SqlRows;
using storage::SqlSession;

ExperimentRecord DefaultExperiment() { return {.id = kDefaultExperiment, .name = kDefaultName, .tags = {}}; }

Error Exists(const std::string& name, bool deleted) {
  return AlreadyExists("tracking_experiment_exists",
                       "there is an experiment '" + Printable(name) + "' already" +
                           (deleted ? ", which is deleted: restore it, or choose another name" : ""));
}
Error Deleted(std::int64_t id) {
  return FailedPrecondition("tracking_experiment_deleted",
                            "the experiment " + std::to_string(id) + " is deleted");
}
Error IsDefault(const char* what) {
  return FailedPrecondition("tracking_experiment_default",
                            "the default experiment, 0, can't be " + std::string(what));
}

/// Whoever has the name, which is nobody else's.
Result<void> CheckName(SqlSession& session, const TenantId& tenant, const std::string& name) {
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT deleted_us FROM tracking_experiments WHERE tenant = $1 AND name = $2",
                        {tenant.str(), name}));
  if (rows.empty() && name != kDefaultName) return {};
  return Exists(name, !rows.empty() && rows.Int(0, 0) != 0);
}

}  // namespace

Result<void> TrackingStore::CheckExperiment(SqlSession& session, const TenantId& tenant,
                                            std::int64_t id) const {
  if (id == kDefaultExperiment) return {};
  // Locked where the database can, so that what is made in it isn't missed by who deletes it.
  const bool locks = db_.dialect() == storage::SqlDialect::kPostgres;
  MEZZO_TRY(const SqlRows rows,
            session.Run(locks ? "SELECT deleted_us FROM tracking_experiments WHERE id = $1 AND tenant = $2 "
                                "FOR SHARE"
                              : "SELECT deleted_us FROM tracking_experiments WHERE id = $1 AND tenant = $2",
                        {id, tenant.str()}));
  if (rows.empty()) return NoExperiment(std::to_string(id));
  if (rows.Int(0, 0) != 0) return Deleted(id);
  return {};
}

/// For a change of an experiment that is not deleted: touched, so that changes come one after the other.
Result<void> TrackingStore::LockExperiment(SqlSession& session, const TenantId& tenant,
                                           std::int64_t id) const {
  MEZZO_TRY(const SqlRows rows,
            session.Run("UPDATE tracking_experiments SET updated_us = $3 WHERE id = $1 AND tenant = $2 "
                        "RETURNING deleted_us",
                        {id, tenant.str(), NowMicros()}));
  if (rows.empty()) return NoExperiment(std::to_string(id));
  if (rows.Int(0, 0) != 0) return Deleted(id);
  return {};
}

Result<void> TrackingStore::Complete(SqlSession& session, const TenantId& tenant,
                                     std::vector<ExperimentRecord>& experiments) const {
  std::map<std::string, ExperimentRecord*> by_owner;
  std::vector<std::string> owners;
  for (ExperimentRecord& experiment : experiments) {
    owners.push_back(OwnerOf(tenant, experiment.id));
    by_owner.emplace(owners.back(), &experiment);
  }
  MEZZO_TRY(const auto facts, internal::FactsOf(session, db_.dialect(), std::move(owners)));
  for (const internal::Fact& fact : facts) by_owner.at(fact.owner)->tags.emplace(fact.key, fact.value);
  return {};
}

Result<ExperimentRecord> TrackingStore::CreateExperiment(const TenantId& tenant, const std::string& name,
                                                         const Tags& tags, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts({{name, ""}}));
  MEZZO_TRY_VOID(CheckFacts(tags));
  ExperimentRecord made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CheckName(session, tenant, name));
    MEZZO_TRY_VOID(Grow(session, tenant, {.experiments = 1}));
    MEZZO_TRY(const SqlRows rows,
              session.Run("INSERT INTO tracking_experiments (tenant, name, created_us, updated_us) "
                          "VALUES ($1, $2, $3, $3) ON CONFLICT (tenant, name) DO NOTHING "
                          "RETURNING id, name, created_us, updated_us, deleted_us",
                          {tenant.str(), name, NowMicros()}));
    if (rows.empty()) return Exists(name, /*deleted=*/false);
    made = ExperimentAt(rows, 0);
    made.tags = tags;
    MEZZO_TRY_VOID(PutFacts(session, OwnerOf(tenant, made.id), kTag, tags));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return made;
}

Result<ExperimentRecord> TrackingStore::GetExperiment(const TenantId& tenant, std::int64_t id,
                                                      TimePoint deadline) {
  static const std::string sql = "SELECT " + std::string(kExperimentColumns) +
                                 " FROM tracking_experiments WHERE id = $1 AND tenant = $2";
  std::vector<ExperimentRecord> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found = {DefaultExperiment()};
    if (id != kDefaultExperiment) {
      MEZZO_TRY(const SqlRows rows, session.Run(sql, {id, tenant.str()}));
      if (rows.empty()) return NoExperiment(std::to_string(id));
      found = {ExperimentAt(rows, 0)};
    }
    return Complete(session, tenant, found);
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return std::move(found.front());
}

Result<ExperimentRecord> TrackingStore::FindExperiment(const TenantId& tenant, const std::string& name,
                                                       TimePoint deadline) {
  if (name == kDefaultName) return GetExperiment(tenant, kDefaultExperiment, deadline);
  std::int64_t id = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT id FROM tracking_experiments WHERE tenant = $1 AND name = $2",
                          {tenant.str(), name}));
    if (rows.empty()) return NoExperiment("'" + Printable(name) + "'");
    id = rows.Int(0, 0);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return GetExperiment(tenant, id, deadline);
}

Result<void> TrackingStore::RenameExperiment(const TenantId& tenant, std::int64_t id, const std::string& name,
                                             TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts({{name, ""}}));
  if (id == kDefaultExperiment) return IsDefault("renamed");
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(LockExperiment(session, tenant, id));
    // The same name again is no other's: it stays.
    MEZZO_TRY(const SqlRows own,
              session.Run("SELECT 1 FROM tracking_experiments WHERE id = $1 AND name = $2", {id, name}));
    if (!own.empty()) return {};
    MEZZO_TRY_VOID(CheckName(session, tenant, name));
    MEZZO_TRY_VOID(session.Run("UPDATE tracking_experiments SET name = $2 WHERE id = $1", {id, name}));
    return {};
  };
  auto renamed = db_.Transact(work, deadline);
  if (!renamed.ok() && renamed.error().reason() == "sql_unique") return Exists(name, /*deleted=*/false);
  return renamed;
}

Result<void> TrackingStore::DeleteExperiment(const TenantId& tenant, std::int64_t id, TimePoint deadline) {
  if (id == kDefaultExperiment) return IsDefault("deleted");
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(LockExperiment(session, tenant, id));
    // The same time marks the runs that went with it.
    const std::int64_t now = NowMicros();
    MEZZO_TRY_VOID(session.Run("UPDATE tracking_experiments SET deleted_us = $2 WHERE id = $1", {id, now}));
    MEZZO_TRY_VOID(session.Run(
        "UPDATE tracking_runs SET deleted_us = $3 WHERE tenant = $1 AND experiment = $2 AND deleted_us = 0",
        {tenant.str(), id, now}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> TrackingStore::RestoreExperiment(const TenantId& tenant, std::int64_t id, TimePoint deadline) {
  const Error active = FailedPrecondition("tracking_experiment_active",
                                          "the experiment " + std::to_string(id) + " is not deleted");
  if (id == kDefaultExperiment) return active;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows,
              session.Run("UPDATE tracking_experiments SET updated_us = $3 WHERE id = $1 AND tenant = $2 "
                          "RETURNING deleted_us",
                          {id, tenant.str(), NowMicros()}));
    if (rows.empty()) return NoExperiment(std::to_string(id));
    const std::int64_t since = rows.Int(0, 0);
    if (since == 0) return active;
    MEZZO_TRY_VOID(session.Run("UPDATE tracking_experiments SET deleted_us = 0 WHERE id = $1", {id}));
    MEZZO_TRY_VOID(session.Run(
        "UPDATE tracking_runs SET deleted_us = 0 WHERE tenant = $1 AND experiment = $2 AND deleted_us = $3",
        {tenant.str(), id, since}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> TrackingStore::SetExperimentTag(const TenantId& tenant, std::int64_t id, const std::string& key,
                                             const std::string& value, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts({{key, value}}));
  const std::string owner = OwnerOf(tenant, id);
  const auto work = [&](SqlSession& session) -> Result<void> {
    if (id == kDefaultExperiment) {
      MEZZO_TRY_VOID(Grow(session, tenant, {}));
    } else {
      MEZZO_TRY_VOID(LockExperiment(session, tenant, id));
    }
    MEZZO_TRY_VOID(PutFacts(session, owner, kTag, {{key, value}}));
    MEZZO_TRY(const SqlRows count,
              session.Run("SELECT COUNT(*) FROM tracking_facts WHERE owner = $1", {owner}));
    if (static_cast<std::size_t>(count.Int(0, 0)) > options_.max_facts) {
      return ResourceExhausted("tracking_full", "the experiment has all the tags that it may have: " +
                                                    std::to_string(options_.max_facts));
    }
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<void> TrackingStore::DeleteExperimentTag(const TenantId& tenant, std::int64_t id,
                                                const std::string& key, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    if (id != kDefaultExperiment) MEZZO_TRY_VOID(LockExperiment(session, tenant, id));
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM tracking_facts WHERE owner = $1 AND kind = 'tag' AND fact_key = $2",
                          {OwnerOf(tenant, id), key}));
    if (gone.affected() == 0) return NoTag(key);
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<std::size_t> TrackingStore::ExpireExperiments(WallTime before, std::size_t limit, TimePoint deadline) {
  struct Old {
    std::int64_t id;
    TenantId tenant;
    std::vector<std::string> models;
  };
  std::vector<Old> old;
  const std::int64_t until = internal::ToMicros(before);
  const auto look = [&](SqlSession& session) -> Result<void> {
    old.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT e.id, e.tenant FROM tracking_experiments e WHERE e.deleted_us > 0 AND "
                          "e.deleted_us < $1 AND NOT EXISTS (SELECT 1 FROM tracking_runs r WHERE "
                          "r.tenant = e.tenant AND r.experiment = e.id) ORDER BY e.deleted_us LIMIT $2",
                          {until, static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      old.push_back({rows.Int(row, 0), TenantId(rows.Text(row, 1)), {}});
    }
    for (Old& one : old) {
      MEZZO_TRY(const SqlRows models,
                session.Run("SELECT id FROM tracking_models WHERE tenant = $1 AND experiment = $2 LIMIT $3",
                            {one.tenant.str(), one.id, static_cast<std::int64_t>(limit)}));
      for (std::size_t row = 0; row < models.size(); ++row) one.models.push_back(models.Text(row, 0));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(look, deadline));
  std::size_t removed = 0;
  for (const Old& one : old) {
    for (const std::string& model : one.models) {
      const auto gone = DeleteLoggedModel(one.tenant, model, deadline);
      if (!gone.ok() && gone.error().code() != Code::kNotFound) return gone.error();
    }
    if (one.models.size() == limit) continue;  // The rest of them the next time.
    bool gone = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      // Whoever has restored it meanwhile keeps it.
      MEZZO_TRY(const SqlRows row,
                session.Run("DELETE FROM tracking_experiments WHERE id = $1 AND deleted_us > 0 AND "
                            "deleted_us < $2",
                            {one.id, until}));
      gone = row.affected() > 0;
      if (!gone) return {};
      MEZZO_TRY_VOID(
          session.Run("DELETE FROM tracking_facts WHERE owner = $1", {OwnerOf(one.tenant, one.id)}));
      return Grow(session, one.tenant, {.experiments = -1});
    };
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    if (gone) ++removed;
  }
  return removed;
}

}  // namespace mezzo::lifecycle
