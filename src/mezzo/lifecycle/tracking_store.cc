#include "mezzo/lifecycle/tracking_store.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/internal/tracking_rows.h"

// Runs and logged models; tracking_experiments.cc has the experiments, tracking_search.cc what is searched,
// tracking_artifacts.cc the files.

namespace mezzo::lifecycle {
namespace {

using internal::Fact;
using internal::FactsOf;
using internal::FromMicros;
using internal::kParam;
using internal::kTag;
using internal::kTrackedRunColumns;
using internal::NoTag;
using internal::NoTrackedRun;
using internal::TrackedRunAt;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

constexpr const char* kInput = "input";
constexpr const char* kOutput = "output";

std::string NewId(WallTime now) {
  std::string id = NewUuidV7(now);
  std::erase(id, '-');
  return id;
}

Error DeletedRun(const std::string& id) {
  return FailedPrecondition("tracking_run_deleted", "the run '" + Printable(id, 64) + "' is deleted");
}
Error NoLoggedModel(const std::string& id) {
  return NotFound("tracking_model_unknown", "there is no logged model '" + Printable(id, 64) + "'");
}
/// Numbers that are none are texts too: a database's column would refuse them.
std::string NumberText(double value) {
  if (std::isnan(value)) return "nan";
  return fmt::format("{}", value);  // The shortest that is read as the same; "inf", "-inf".
}
double NumberAt(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

std::string Among(SqlDialect dialect, const char* column, const char* parameter, const char* type) {
  return dialect == SqlDialect::kPostgres
             ? std::string(column) + " = ANY(" + parameter + "::" + type + "[])"
             : std::string(column) + " IN (SELECT value FROM json_each(" + parameter + "))";
}

constexpr std::string_view kModelRowColumns =
    "id, experiment, name, run_id, type, status, created_us, updated_us, created_by";
LoggedModelRecord LoggedModelAt(const SqlRows& rows, std::size_t row) {
  LoggedModelRecord model;
  model.id = rows.Text(row, 0);
  model.experiment = rows.Int(row, 1);
  model.name = rows.Text(row, 2);
  model.run_id = rows.Text(row, 3);
  model.type = rows.Text(row, 4);
  model.status = rows.Text(row, 5);
  model.created = FromMicros(rows.Int(row, 6));
  model.updated = FromMicros(rows.Int(row, 7));
  model.created_by = rows.Text(row, 8);
  return model;
}

}  // namespace

TrackingStore::TrackingStore(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(options), db_(db), clock_(clock) {}

std::int64_t TrackingStore::NowMicros() const { return internal::ToMicros(clock_.WallNow()); }

/// Counts of the tenant go up, and its row is locked until the end.
Result<void> TrackingStore::Grow(SqlSession& session, const TenantId& tenant, const Growth& by) const {
  MEZZO_TRY(const SqlRows rows,
            session.Run("INSERT INTO tracking_tenants (tenant, experiments, runs, models, files, bytes) "
                        "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant) DO UPDATE SET "
                        "experiments = tracking_tenants.experiments + excluded.experiments, "
                        "runs = tracking_tenants.runs + excluded.runs, "
                        "models = tracking_tenants.models + excluded.models, "
                        "files = tracking_tenants.files + excluded.files, "
                        "bytes = tracking_tenants.bytes + excluded.bytes "
                        "RETURNING experiments, runs, models, bytes",
                        {tenant.str(), by.experiments, by.runs, by.models, by.files, by.bytes}));
  const auto full = [&](std::int64_t more, std::size_t column, std::uint64_t most, const char* what) {
    return more > 0 && static_cast<std::uint64_t>(rows.Int(0, column)) > most
               ? Result<void>(
                     ResourceExhausted("tracking_full", "the tenant has all the " + std::string(what) +
                                                            " that it may have: " + std::to_string(most)))
               : Result<void>();
  };
  MEZZO_TRY_VOID(full(by.experiments, 0, options_.max_experiments, "experiments"));
  MEZZO_TRY_VOID(full(by.runs, 1, options_.max_runs, "runs"));
  MEZZO_TRY_VOID(full(by.models, 2, options_.max_models, "logged models"));
  return full(by.bytes, 3, options_.max_bytes, "bytes of artifacts");
}

Result<void> TrackingStore::CheckFacts(const Tags& facts) const {
  for (const auto& [key, value] : facts) {
    if (key.empty() || key.size() > options_.max_key) {
      return InvalidArgument("tracking_value", fmt::format("the key '{}' has {} bytes; it must have 1 to {}",
                                                           Printable(key), key.size(), options_.max_key));
    }
    if (value.size() > options_.max_value) {
      return InvalidArgument("tracking_value", fmt::format("the value of '{}' has {} bytes; the limit is {}",
                                                           Printable(key), value.size(), options_.max_value));
    }
  }
  return {};
}

/// How many of them are new.
Result<std::size_t> TrackingStore::PutFacts(SqlSession& session, const std::string& owner, const char* kind,
                                            const Tags& facts) const {
  std::size_t fresh = 0;
  for (const auto& [key, value] : facts) {
    MEZZO_TRY(const SqlRows put,
              session.Run("INSERT INTO tracking_facts (owner, kind, fact_key, fact_value) "
                          "VALUES ($1, $2, $3, $4) ON CONFLICT (owner, kind, fact_key) DO NOTHING",
                          {owner, kind, key, value}));
    if (put.affected() > 0) {
      ++fresh;
      continue;
    }
    if (std::string_view(kind) == kParam) {
      MEZZO_TRY(const SqlRows old, session.Run("SELECT fact_value FROM tracking_facts WHERE owner = $1 AND "
                                               "kind = $2 AND fact_key = $3",
                                               {owner, kind, key}));
      if (!old.empty() && old.Text(0, 0) != value) {
        return InvalidArgument("tracking_param_changed",
                               "the parameter '" + Printable(key) + "' is '" + Printable(old.Text(0, 0), 64) +
                                   "' already; it can't become '" + Printable(value, 64) + "'");
      }
      continue;
    }
    MEZZO_TRY_VOID(session.Run(
        "UPDATE tracking_facts SET fact_value = $4 WHERE owner = $1 AND kind = $2 AND fact_key = $3",
        {owner, kind, key, value}));
  }
  return fresh;
}

// --- Runs

Result<void> TrackingStore::Complete(SqlSession& session, std::vector<RunRecord>& runs) const {
  if (runs.empty()) return {};
  std::vector<std::string> ids;
  std::map<std::string, RunRecord*> by_id;
  for (RunRecord& run : runs) {
    ids.push_back(run.id);
    by_id.emplace(run.id, &run);
  }
  MEZZO_TRY(const auto facts, FactsOf(session, db_.dialect(), ids));
  for (const Fact& fact : facts) {
    RunRecord& run = *by_id.at(fact.owner);
    if (fact.kind == kParam) run.params.emplace(fact.key, fact.value);
    if (fact.kind == kTag) run.tags.emplace(fact.key, fact.value);
    if (fact.kind == kInput) run.inputs.emplace(fact.key, fact.value);
    if (fact.kind == kOutput) {
      run.outputs.push_back({.model_id = fact.key, .step = std::strtoll(fact.value.c_str(), nullptr, 10)});
    }
  }
  static const std::string_view sql[] = {
      "SELECT l.run_id, l.metric, l.metric_number, l.at_ms, l.step, l.model_id FROM json_each($1) i "
      "JOIN tracking_latest l ON l.run_id = i.value",
      "SELECT l.* FROM unnest($1::text[]) AS i(id) CROSS JOIN LATERAL (SELECT run_id, metric, metric_number, "
      "at_ms, step, model_id FROM tracking_latest t WHERE t.run_id = i.id OFFSET 0) l"};
  MEZZO_TRY(const SqlRows rows, session.Run(sql[static_cast<std::size_t>(db_.dialect())], {ids}));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const double value = rows.IsNull(row, 2) ? std::nan("") : rows.Real(row, 2);
    by_id.at(rows.Text(row, 0))
        ->metrics.emplace(rows.Text(row, 1), MetricPoint{.key = rows.Text(row, 1),
                                                         .value = value,
                                                         .at_ms = rows.Int(row, 3),
                                                         .step = rows.Int(row, 4),
                                                         .model_id = rows.Text(row, 5)});
  }
  return {};
}

Result<RunRecord> TrackingStore::ReadRun(SqlSession& session, const TenantId& tenant,
                                         const std::string& id) const {
  static const std::string sql =
      "SELECT " + std::string(kTrackedRunColumns) + " FROM tracking_runs r WHERE r.id = $1 AND r.tenant = $2";
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {id, tenant.str()}));
  if (rows.empty()) return NoTrackedRun(id);
  std::vector<RunRecord> runs = {TrackedRunAt(rows, 0)};
  MEZZO_TRY_VOID(Complete(session, runs));
  return std::move(runs.front());
}

Result<RunRecord> TrackingStore::CreateRun(const TenantId& tenant, const NewRun& run, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts(run.tags));
  MEZZO_TRY_VOID(CheckFacts({{"run_name", run.name}, {"user_id", run.user}}));
  const std::string id = NewId(clock_.WallNow());
  RunRecord made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CheckExperiment(session, tenant, run.experiment));
    MEZZO_TRY_VOID(Grow(session, tenant, {.runs = 1}));
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO tracking_runs (id, tenant, experiment, name, user_name, status, started_ms, ended_ms, "
        "deleted_us, facts, points, created_us) VALUES ($1, $2, $3, $4, $5, 'RUNNING', $6, NULL, 0, $7, 0, "
        "$8)",
        {id, tenant.str(), run.experiment, run.name, run.user, run.started_ms,
         static_cast<std::int64_t>(run.tags.size()), NowMicros()}));
    MEZZO_TRY_VOID(PutFacts(session, id, kTag, run.tags));
    MEZZO_TRY(made, ReadRun(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return made;
}

Result<RunRecord> TrackingStore::GetRun(const TenantId& tenant, const std::string& id, TimePoint deadline) {
  RunRecord found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadRun(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<RunRecord> TrackingStore::ChangeRun(const TenantId& tenant, const std::string& id,
                                           const RunChange& change, TimePoint deadline) {
  if (change.name) MEZZO_TRY_VOID(CheckFacts({{"run_name", *change.name}}));
  RunRecord changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(RunRecord run, ReadRun(session, tenant, id));
    if (run.deleted && (change.name || change.status || change.ended_ms)) return DeletedRun(id);
    if (run.deleted && change.deleted == false) {
      MEZZO_TRY_VOID(CheckExperiment(session, tenant, run.experiment));
    }
    const std::optional<std::int64_t> ended = change.ended_ms ? change.ended_ms : run.ended_ms;
    // Deleted once: the time says with what it went.
    MEZZO_TRY_VOID(session.Run(
        "UPDATE tracking_runs SET name = $3, status = $4, ended_ms = $5, deleted_us = CASE WHEN $6 = 0 THEN "
        "deleted_us WHEN $7 = 0 THEN 0 WHEN deleted_us > 0 THEN deleted_us ELSE $7 END "
        "WHERE id = $1 AND tenant = $2",
        {id, tenant.str(), change.name.value_or(run.name), change.status.value_or(run.status),
         ended ? SqlValue(*ended) : SqlValue(), std::int64_t{change.deleted ? 1 : 0},
         change.deleted.value_or(false) ? NowMicros() : 0}));
    if (change.name) MEZZO_TRY_VOID(PutFacts(session, id, kTag, {{"mlflow.runName", *change.name}}));
    MEZZO_TRY(changed, ReadRun(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return changed;
}

Result<void> TrackingStore::Note(const TenantId& tenant, const std::string& run, const RunNotes& notes,
                                 TimePoint deadline) {
  Tags outputs;
  for (const RunOutput& output : notes.outputs) outputs.emplace(output.model_id, std::to_string(output.step));
  for (const Tags* facts : {&notes.params, &notes.tags, &notes.inputs, &std::as_const(outputs)}) {
    MEZZO_TRY_VOID(CheckFacts(*facts));
  }
  for (const MetricPoint& point : notes.metrics) MEZZO_TRY_VOID(CheckFacts({{point.key, point.model_id}}));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows locked,
              session.Run("UPDATE tracking_runs SET points = points + $3 WHERE id = $1 AND tenant = $2 "
                          "RETURNING points, facts, deleted_us, experiment",
                          {run, tenant.str(), static_cast<std::int64_t>(notes.metrics.size())}));
    if (locked.empty()) return NoTrackedRun(run);
    if (locked.Int(0, 2) != 0) {
      return DeletedRun(run);
    }
    if (static_cast<std::size_t>(locked.Int(0, 0)) > options_.max_points) {
      return ResourceExhausted("tracking_full", "the run has all the measurements that it may have: " +
                                                    std::to_string(options_.max_points));
    }
    std::size_t fresh = 0;
    const std::pair<const char*, const Tags*> kinds[] = {
        {kParam, &notes.params}, {kTag, &notes.tags}, {kInput, &notes.inputs}, {kOutput, &outputs}};
    for (const auto& [kind, facts] : kinds) {
      MEZZO_TRY(const std::size_t put, PutFacts(session, run, kind, *facts));
      fresh += put;
    }
    if (static_cast<std::size_t>(locked.Int(0, 1)) + fresh > options_.max_facts) {
      return ResourceExhausted("tracking_full", "the run has all the parameters and tags that it may have: " +
                                                    std::to_string(options_.max_facts));
    }
    if (fresh > 0) {
      MEZZO_TRY_VOID(session.Run("UPDATE tracking_runs SET facts = facts + $2 WHERE id = $1",
                                 {run, static_cast<std::int64_t>(fresh)}));
    }
    if (const auto name = notes.tags.find("mlflow.runName"); name != notes.tags.end()) {
      MEZZO_TRY_VOID(session.Run("UPDATE tracking_runs SET name = $2 WHERE id = $1", {run, name->second}));
    }
    return Measure(session, tenant, run, locked.Int(0, 3), notes.metrics);
  };
  return db_.Transact(work, deadline);
}

Result<void> TrackingStore::Measure(SqlSession& session, const TenantId& tenant, const std::string& run,
                                    std::int64_t experiment, const std::vector<MetricPoint>& points) const {
  std::vector<SqlStatement> statements;
  std::map<std::string, const MetricPoint*> latest;
  for (const MetricPoint& point : points) {
    statements.push_back(
        {"INSERT INTO tracking_points (run_id, metric, metric_value, at_ms, step, model_id) "
         "VALUES ($1, $2, $3, $4, $5, $6)",
         {run, point.key, NumberText(point.value), point.at_ms, point.step, point.model_id}});
    const MetricPoint*& last = latest[point.key];
    const bool later =
        last == nullptr || std::pair(point.step, point.at_ms) >= std::pair(last->step, last->at_ms);
    if (later) last = &point;
  }
  for (const auto& [key, point] : latest) {
    const SqlValue number = std::isnan(point->value) ? SqlValue() : SqlValue(point->value);
    statements.push_back(
        {"INSERT INTO tracking_latest (run_id, metric, tenant, experiment, metric_number, at_ms, step, "
         "model_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id, metric) DO UPDATE SET "
         "metric_number = excluded.metric_number, at_ms = excluded.at_ms, step = excluded.step, "
         "model_id = excluded.model_id WHERE (excluded.step, excluded.at_ms) >= "
         "(tracking_latest.step, tracking_latest.at_ms)",
         {run, key, tenant.str(), experiment, number, point->at_ms, point->step, point->model_id}});
  }
  if (statements.empty()) return {};
  MEZZO_TRY_VOID(session.RunAll(statements));
  return {};
}

Result<void> TrackingStore::DeleteRunTag(const TenantId& tenant, const std::string& run,
                                         const std::string& key, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows locked,
              session.Run("UPDATE tracking_runs SET facts = facts - 1 WHERE id = $1 AND tenant = $2 "
                          "RETURNING deleted_us",
                          {run, tenant.str()}));
    if (locked.empty()) return NoTrackedRun(run);
    if (locked.Int(0, 0) != 0) return DeletedRun(run);
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM tracking_facts WHERE owner = $1 AND kind = 'tag' AND fact_key = $2",
                          {run, key}));
    if (gone.affected() == 0) return NoTag(key);
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<std::vector<MetricPoint>> TrackingStore::MetricHistory(const TenantId& tenant, const std::string& run,
                                                              const std::string& key, std::size_t offset,
                                                              std::size_t limit, TimePoint deadline) {
  std::vector<MetricPoint> points;
  const auto work = [&](SqlSession& session) -> Result<void> {
    points.clear();
    MEZZO_TRY(const SqlRows known,
              session.Run("SELECT 1 FROM tracking_runs WHERE id = $1 AND tenant = $2", {run, tenant.str()}));
    if (known.empty()) return NoTrackedRun(run);
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT metric, metric_value, at_ms, step, model_id FROM tracking_points WHERE "
                          "run_id = $1 AND metric = $2 ORDER BY seq LIMIT $3 OFFSET $4",
                          {run, key, static_cast<std::int64_t>(limit), static_cast<std::int64_t>(offset)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      points.push_back({.key = rows.Text(row, 0),
                        .value = NumberAt(rows.Text(row, 1)),
                        .at_ms = rows.Int(row, 2),
                        .step = rows.Int(row, 3),
                        .model_id = rows.Text(row, 4)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return points;
}

Result<std::size_t> TrackingStore::ExpireRuns(WallTime before, std::size_t limit, TimePoint deadline) {
  std::vector<std::pair<std::string, TenantId>> old;
  const std::int64_t until = internal::ToMicros(before);
  const auto look = [&](SqlSession& session) -> Result<void> {
    old.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT id, tenant FROM tracking_runs WHERE deleted_us > 0 AND deleted_us < $1 "
                          "ORDER BY deleted_us LIMIT $2",
                          {until, static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      old.emplace_back(rows.Text(row, 0), TenantId(rows.Text(row, 1)));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(look, deadline));
  std::size_t removed = 0;
  for (const auto& one : old) {
    const std::string& id = one.first;
    const TenantId& tenant = one.second;
    bool gone = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      gone = false;
      MEZZO_TRY_VOID(Grow(session, tenant, {}));
      // Whoever has restored it meanwhile keeps it.
      MEZZO_TRY(const SqlRows run,
                session.Run("DELETE FROM tracking_runs WHERE id = $1 AND deleted_us > 0 AND deleted_us < $2",
                            {id, until}));
      if (run.affected() == 0) return {};
      gone = true;
      MEZZO_TRY_VOID(session.Run("DELETE FROM tracking_facts WHERE owner = $1", {id}));
      MEZZO_TRY_VOID(session.Run("DELETE FROM tracking_points WHERE run_id = $1", {id}));
      MEZZO_TRY_VOID(session.Run("DELETE FROM tracking_latest WHERE run_id = $1", {id}));
      MEZZO_TRY(const SqlRows files,
                session.Run("SELECT path FROM tracking_artifacts WHERE owner = $1", {id}));
      for (std::size_t row = 0; row < files.size(); ++row) {
        MEZZO_TRY_VOID(RemoveFile(session, id, files.Text(row, 0), tenant));
      }
      return Grow(session, tenant, {.runs = -1});
    };
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    if (gone) ++removed;
  }
  return removed;
}

// --- Logged models

Result<void> TrackingStore::Complete(SqlSession& session, std::vector<LoggedModelRecord>& models) const {
  if (models.empty()) return {};
  std::vector<std::string> ids;
  std::map<std::string, LoggedModelRecord*> by_id;
  for (LoggedModelRecord& model : models) {
    ids.push_back(model.id);
    by_id.emplace(model.id, &model);
  }
  MEZZO_TRY(const auto facts, FactsOf(session, db_.dialect(), std::move(ids)));
  for (const Fact& fact : facts) {
    if (fact.kind == kParam) by_id.at(fact.owner)->params.emplace(fact.key, fact.value);
    if (fact.kind == kTag) by_id.at(fact.owner)->tags.emplace(fact.key, fact.value);
  }
  return {};
}

Result<LoggedModelRecord> TrackingStore::ReadModel(SqlSession& session, const TenantId& tenant,
                                                   const std::string& id) const {
  static const std::string sql =
      "SELECT " + std::string(kModelRowColumns) + " FROM tracking_models WHERE id = $1 AND tenant = $2";
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {id, tenant.str()}));
  if (rows.empty()) return NoLoggedModel(id);
  std::vector<LoggedModelRecord> models = {LoggedModelAt(rows, 0)};
  MEZZO_TRY_VOID(Complete(session, models));
  return std::move(models.front());
}

Result<LoggedModelRecord> TrackingStore::CreateLoggedModel(const TenantId& tenant,
                                                           const NewLoggedModel& model, const std::string& by,
                                                           TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts(model.params));
  MEZZO_TRY_VOID(CheckFacts(model.tags));
  MEZZO_TRY_VOID(CheckFacts({{"name", model.name}, {"model_type", model.type}}));
  const std::size_t facts = model.params.size() + model.tags.size();
  if (facts > options_.max_facts) {
    return ResourceExhausted("tracking_full", "the model has more parameters and tags than it may have: " +
                                                  std::to_string(options_.max_facts));
  }
  const std::string id = "m-" + NewId(clock_.WallNow());
  LoggedModelRecord made;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CheckExperiment(session, tenant, model.experiment));
    if (!model.run_id.empty()) MEZZO_TRY_VOID(ReadRun(session, tenant, model.run_id));
    MEZZO_TRY_VOID(Grow(session, tenant, {.models = 1}));
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO tracking_models (id, tenant, experiment, name, run_id, type, status, facts, created_us, "
        "updated_us, created_by) VALUES ($1, $2, $3, $4, $5, $6, 'LOGGED_MODEL_PENDING', $7, $8, $8, $9)",
        {id, tenant.str(), model.experiment, model.name, model.run_id, model.type,
         static_cast<std::int64_t>(facts), NowMicros(), by}));
    MEZZO_TRY_VOID(PutFacts(session, id, kParam, model.params));
    MEZZO_TRY_VOID(PutFacts(session, id, kTag, model.tags));
    MEZZO_TRY(made, ReadModel(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return made;
}

Result<LoggedModelRecord> TrackingStore::GetLoggedModel(const TenantId& tenant, const std::string& id,
                                                        TimePoint deadline) {
  LoggedModelRecord found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(found, ReadModel(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<LoggedModelRecord> TrackingStore::ChangeLoggedModel(const TenantId& tenant, const std::string& id,
                                                           const LoggedModelChange& change,
                                                           TimePoint deadline) {
  MEZZO_TRY_VOID(CheckFacts(change.params));
  MEZZO_TRY_VOID(CheckFacts(change.tags));
  LoggedModelRecord changed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows locked,
              session.Run("UPDATE tracking_models SET updated_us = $3 WHERE id = $1 AND tenant = $2 "
                          "RETURNING facts",
                          {id, tenant.str(), NowMicros()}));
    if (locked.empty()) return NoLoggedModel(id);
    if (change.status) {
      MEZZO_TRY_VOID(
          session.Run("UPDATE tracking_models SET status = $2 WHERE id = $1", {id, *change.status}));
    }
    MEZZO_TRY(const std::size_t params, PutFacts(session, id, kParam, change.params));
    MEZZO_TRY(const std::size_t tags, PutFacts(session, id, kTag, change.tags));
    auto facts = locked.Int(0, 0) + static_cast<std::int64_t>(params + tags);
    if (static_cast<std::size_t>(facts) > options_.max_facts) {
      return ResourceExhausted("tracking_full",
                               "the model has all the parameters and tags that it may have: " +
                                   std::to_string(options_.max_facts));
    }
    if (!change.without_tag.empty()) {
      MEZZO_TRY(const SqlRows gone,
                session.Run("DELETE FROM tracking_facts WHERE owner = $1 AND kind = 'tag' AND fact_key = $2",
                            {id, change.without_tag}));
      if (gone.affected() == 0) return NoTag(change.without_tag);
      --facts;
    }
    MEZZO_TRY_VOID(session.Run("UPDATE tracking_models SET facts = $2 WHERE id = $1", {id, facts}));
    MEZZO_TRY(changed, ReadModel(session, tenant, id));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return changed;
}

Result<void> TrackingStore::DeleteLoggedModel(const TenantId& tenant, const std::string& id,
                                              TimePoint deadline) {
  MEZZO_TRY_VOID(DeleteArtifacts({.tenant = tenant, .owner = id, .path = ""}, deadline));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM tracking_models WHERE id = $1 AND tenant = $2", {id, tenant.str()}));
    if (gone.affected() == 0) return NoLoggedModel(id);
    MEZZO_TRY_VOID(session.Run("DELETE FROM tracking_facts WHERE owner = $1", {id}));
    return Grow(session, tenant, {.models = -1});
  };
  return db_.Transact(work, deadline);
}

Result<std::vector<LoggedModelRecord>> TrackingStore::ListLoggedModels(
    const TenantId& tenant, const std::vector<std::int64_t>& experiments, const std::string& name,
    const std::string& run_id, const std::string& after, std::size_t limit, TimePoint deadline) {
  const std::string sql = "SELECT " + std::string(kModelRowColumns) +
                          " FROM tracking_models WHERE tenant = $1 AND " +
                          Among(db_.dialect(), "experiment", "$2", "bigint") +
                          " AND ($3 = '' OR name = $3) AND ($4 = '' OR run_id = $4) AND ($5 = '' OR id < $5) "
                          "ORDER BY id DESC LIMIT $6";
  std::vector<LoggedModelRecord> models;
  const auto work = [&](SqlSession& session) -> Result<void> {
    models.clear();
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {tenant.str(), experiments, name, run_id, after,
                                                    static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) models.push_back(LoggedModelAt(rows, row));
    return Complete(session, models);
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return models;
}

}  // namespace mezzo::lifecycle
