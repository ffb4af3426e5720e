// The ways in which a job leaves the state it is in: its run ends, it is cancelled, its time or its host has
// gone.

#include <map>
#include <utility>

#include "mezzo/jobs/internal/bulk.h"
#include "mezzo/jobs/internal/job_sql.h"
#include "mezzo/jobs/internal/outbox_rows.h"
#include "mezzo/jobs/internal/sql_time.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/jobs/job_store.h"

namespace mezzo::jobs {
namespace {

using internal::BulkStatement;
using internal::EndedAt;
using internal::EndedJob;
using internal::IdsOf;
using internal::kEndedColumns;
using internal::Tell;
using internal::ToMicros;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;

const BulkStatement& EndRuns() {
  static const BulkStatement statement(
      "UPDATE jobs SET state = {target}, result = {outcome}, error_reason = NULLIF({reason}, ''), "
      "error_message = NULLIF({text}, ''), run_after_us = NULLIF({later}, 0), errors = jobs.errors + "
      "{fault}, "
      "finished_us = CASE WHEN {target} IN ('succeeded', 'failed', 'cancelled') THEN CAST($1 AS BIGINT) ELSE "
      "NULL END, "
      "queued_us = CASE WHEN {target} = 'queued' THEN CAST($1 AS BIGINT) ELSE jobs.queued_us END, "
      "progress = CASE WHEN {target} = 'succeeded' THEN 1.0 ELSE jobs.progress END, "
      "host = NULL, lease_until_us = NULL, version = jobs.version + 1 {rows} "
      "WHERE jobs.id = {job} AND jobs.attempt = {run} AND jobs.state = 'running' RETURNING " +
          std::string(kEndedColumns),
      1,
      {{"job"},
       {"run", false},
       {"target"},
       {"outcome"},
       {"reason"},
       {"text"},
       {"later", false},
       {"fault", false}});
  return statement;
}

const BulkStatement& AddUsage() {
  static const BulkStatement statement(
      "INSERT INTO job_usage (job_id, attempt, tenant, kind, model, device_us, ended_us) "
      "SELECT {job}, {run}, {tenant}, {kind}, {model}, {device}, $1 {rows}",
      1, {{"job"}, {"run", false}, {"tenant"}, {"kind"}, {"model"}, {"device", false}});
  return statement;
}

JobState TargetOf(RunEnd::Kind kind) {
  switch (kind) {
    case RunEnd::Kind::kSucceeded:
      return JobState::kSucceeded;
    case RunEnd::Kind::kFailed:
      return JobState::kFailed;
    case RunEnd::Kind::kRetry:
      return JobState::kScheduled;
    case RunEnd::Kind::kCancelled:
      return JobState::kCancelled;
    case RunEnd::Kind::kReleased:
      return JobState::kQueued;
  }
  return JobState::kFailed;
}

/// Writes what follows from jobs that have just left their state: webhooks of those that ended, and who is
/// told.
Result<std::vector<EndedJob>> Follow(SqlSession& session, SqlDialect dialect, const SqlRows& rows,
                                     WallTime now) {
  std::vector<EndedJob> moved;
  std::vector<EndedJob> ended;
  std::vector<std::string> changed;
  std::vector<std::string> queued;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    EndedJob job = EndedAt(rows, row);
    changed.push_back(job.id.str());
    if (job.state == JobState::kQueued) queued.push_back(job.id.str());
    if (IsTerminal(job.state) && !job.webhook_url.empty()) ended.push_back(job);
    moved.push_back(std::move(job));
  }
  MEZZO_TRY_VOID(internal::AddWebhooks(session, dialect, ended, now));
  MEZZO_TRY_VOID(Tell(session, kChangedChannel, changed));
  MEZZO_TRY_VOID(Tell(session, kQueuedChannel, queued));
  return moved;
}

/// Updates what `select` finds (with $1 the time and $2 the limit), and whatever follows.
Result<std::vector<EndedJob>> Move(SqlSession& session, SqlDialect dialect, std::string_view set,
                                   std::string_view select, std::size_t limit, WallTime now) {
  const std::string sql = "UPDATE jobs SET version = version + 1, " + std::string(set) + " WHERE " +
                          IdsOf(select, dialect) + " RETURNING " + std::string(kEndedColumns);
  MEZZO_TRY(const SqlRows rows, session.Run(sql, {ToMicros(now), static_cast<std::int64_t>(limit)}));
  return Follow(session, dialect, rows, now);
}

/// Of those that `moved`, the ones that have ended.
void TellRunless(const JobStore::Options& options, const std::vector<EndedJob>& moved) {
  if (options.on_runless_end == nullptr) return;
  for (const EndedJob& job : moved) {
    if (!IsTerminal(job.state)) continue;
    options.on_runless_end({.tenant = job.tenant,
                            .project = job.project,
                            .key = job.key,
                            .model = job.model,
                            .state = job.state});
  }
}

}  // namespace

Result<std::vector<bool>> JobStore::End(std::span<const RunEnd> ends, TimePoint deadline) {
  std::vector<bool> held;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    held.assign(ends.size(), false);
    std::vector<std::string> ids, targets, results, reasons, messages;
    std::vector<std::int64_t> attempts, later, faults;
    std::map<std::string, std::size_t> by_id;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const RunEnd& end = ends[i];
      by_id[end.fence.id.str()] = i;
      ids.push_back(end.fence.id.str());
      attempts.push_back(end.fence.attempt);
      targets.emplace_back(StateName(TargetOf(end.kind)));
      results.push_back(end.result);
      reasons.push_back(end.error.reason);
      messages.push_back(end.error.message);
      const bool retry = end.kind == RunEnd::Kind::kRetry;
      later.push_back(retry ? ToMicros(end.run_after) : 0);
      faults.push_back(retry || end.kind == RunEnd::Kind::kFailed ? 1 : 0);
    }
    MEZZO_TRY(const SqlRows rows,
              EndRuns().Run(session, db_.dialect(), {ToMicros(now)},
                            {std::move(ids), std::move(attempts), std::move(targets), std::move(results),
                             std::move(reasons), std::move(messages), std::move(later), std::move(faults)}));
    MEZZO_TRY(const std::vector<EndedJob> moved, Follow(session, db_.dialect(), rows, now));

    std::vector<std::string> used, tenants, kinds, models;
    std::vector<std::int64_t> runs, device;
    for (const EndedJob& job : moved) {
      const std::size_t i = by_id.at(job.id.str());
      held[i] = true;
      if (ends[i].device_time <= Duration::zero()) continue;
      used.push_back(job.id.str());
      runs.push_back(job.attempt);
      tenants.push_back(job.tenant.str());
      kinds.push_back(job.kind);
      models.push_back(job.model);
      device.push_back(ToMicros(ends[i].device_time));
    }
    MEZZO_TRY_VOID(AddUsage().Run(session, db_.dialect(), {ToMicros(now)},
                                  {std::move(used), std::move(runs), std::move(tenants), std::move(kinds),
                                   std::move(models), std::move(device)}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return held;
}

Result<bool> JobStore::Report(const Fence& fence, double progress, const std::string& stage,
                              TimePoint deadline) {
  bool held = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows,
              session.Run("UPDATE jobs SET progress = $3, stage = $4, version = version + 1 "
                          "WHERE id = $1 AND attempt = $2 AND state = 'running'",
                          {fence.id.str(), fence.attempt, progress, stage}));
    held = rows.affected() == 1;
    return held ? Tell(session, kChangedChannel, {fence.id.str()}) : Result<void>();
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return held;
}

Result<bool> JobStore::SaveCheckpoint(const Fence& fence, const std::string& checkpoint, TimePoint deadline) {
  bool held = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run("UPDATE jobs SET checkpoint = $3, version = version + 1 "
                                              "WHERE id = $1 AND attempt = $2 AND state = 'running'",
                                              {fence.id.str(), fence.attempt, checkpoint}));
    held = rows.affected() == 1;
    return held ? Tell(session, kChangedChannel, {fence.id.str()}) : Result<void>();
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return held;
}

Result<JobState> JobStore::Cancel(const TenantId& tenant, const JobId& id, TimePoint deadline) {
  static const std::string cancel_waiting =
      "UPDATE jobs SET state = 'cancelled', finished_us = $3, cancel_requested_us = $3, version = version + "
      "1 "
      "WHERE id = $1 AND tenant = $2 AND state IN ('scheduled', 'queued') RETURNING " +
      std::string(kEndedColumns);
  JobState state{};
  std::vector<EndedJob> ended;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    MEZZO_TRY(const SqlRows waiting, session.Run(cancel_waiting, {id.str(), tenant.str(), ToMicros(now)}));
    MEZZO_TRY(ended, Follow(session, db_.dialect(), waiting, now));
    if (waiting.empty()) {
      MEZZO_TRY(
          const SqlRows running,
          session.Run("UPDATE jobs SET cancel_requested_us = $3, version = version + 1 WHERE id = $1 "
                      "AND tenant = $2 AND state = 'running' AND cancel_requested_us IS NULL RETURNING id",
                      {id.str(), tenant.str(), ToMicros(now)}));
      if (!running.empty()) {
        MEZZO_TRY_VOID(Tell(session, kCancelChannel, {id.str()}));
        MEZZO_TRY_VOID(Tell(session, kChangedChannel, {id.str()}));
      }
    }
    MEZZO_TRY(const SqlRows row,
              session.Run("SELECT state FROM jobs WHERE id = $1 AND tenant = $2", {id.str(), tenant.str()}));
    if (row.empty()) return NotFound("job_unknown", "there is no job '" + id.str() + "'");
    MEZZO_TRY(state, ParseState(row.Text(0, 0)));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  TellRunless(options_, ended);
  return state;
}

Result<void> JobStore::Delete(const TenantId& tenant, const JobId& id, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        const SqlRows deleted,
        session.Run("DELETE FROM jobs WHERE id = $1 AND tenant = $2 AND state IN ('succeeded', 'failed', "
                    "'cancelled') RETURNING id",
                    {id.str(), tenant.str()}));
    if (!deleted.empty()) return Tell(session, kChangedChannel, {id.str()});
    MEZZO_TRY(const SqlRows row,
              session.Run("SELECT state FROM jobs WHERE id = $1 AND tenant = $2", {id.str(), tenant.str()}));
    if (row.empty()) return NotFound("job_unknown", "there is no job '" + id.str() + "'");
    return FailedPrecondition("job_not_ended",
                              "job '" + id.str() + "' has not ended: it is " + row.Text(0, 0));
  };
  return db_.Transact(work, deadline);
}

Result<JobId> JobStore::Retry(const TenantId& tenant, const JobId& id, TimePoint deadline,
                              const tenancy::Caller* caller) {
  NewJob again;
  const auto read = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(
        const SqlRows row,
        session.Run("SELECT state, kind, model, tier, cost, weight, request, COALESCE(webhook_url, ''), "
                    "COALESCE(webhook_secret, ''), COALESCE(project, ''), COALESCE(key_id, '') FROM jobs "
                    "WHERE id = $1 AND tenant = $2",
                    {id.str(), tenant.str()}));
    if (row.empty()) return NotFound("job_unknown", "there is no job '" + id.str() + "'");
    if (row.Text(0, 0) != "failed" && row.Text(0, 0) != "cancelled") {
      return FailedPrecondition("job_not_ended", "job '" + id.str() + "' is " + row.Text(0, 0) +
                                                     ": only failed and cancelled jobs can be retried");
    }
    again = {.tenant = tenant,
             .project = caller == nullptr ? ProjectId(row.Text(0, 9)) : caller->project,
             .key = caller == nullptr ? KeyId(row.Text(0, 10)) : caller->key,
             .weight = row.Real(0, 5),
             .kind = row.Text(0, 1),
             .model = row.Text(0, 2),
             .tier = static_cast<Tier>(row.Int(0, 3)),
             .cost = row.Real(0, 4),
             .request = row.Text(0, 6)};
    if (!row.Text(0, 7).empty())
      again.webhook = WebhookTarget{.url = row.Text(0, 7), .secret = row.Text(0, 8)};
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(read, deadline));
  MEZZO_TRY(const auto outcomes, Enqueue({&again, 1}, deadline));
  MEZZO_TRY(const Submitted submitted, outcomes[0]);
  return submitted.id;
}

Result<JobStore::Swept> JobStore::Sweep(std::size_t limit, TimePoint deadline) {
  const std::string rescue =
      "state = CASE WHEN cancel_requested_us IS NOT NULL THEN 'cancelled' WHEN crashes + 1 >= " +
      std::to_string(options_.retry.max_crashes) +
      " THEN 'failed' ELSE 'queued' END, "
      "error_reason = CASE WHEN cancel_requested_us IS NULL AND crashes + 1 >= " +
      std::to_string(options_.retry.max_crashes) +
      " THEN 'job_quarantined' ELSE NULL END, "
      "error_message = CASE WHEN cancel_requested_us IS NULL AND crashes + 1 >= " +
      std::to_string(options_.retry.max_crashes) +
      " THEN 'its hosts vanished while they ran it' ELSE NULL END, "
      "finished_us = CASE WHEN cancel_requested_us IS NOT NULL OR crashes + 1 >= " +
      std::to_string(options_.retry.max_crashes) +
      " THEN CAST($1 AS BIGINT) ELSE NULL END, "
      "crashes = crashes + 1, queued_us = $1, host = NULL, lease_until_us = NULL";
  Swept swept;
  // What `step` moves; whoever has ended so is told of.
  const auto in_transaction = [&](const auto& step) -> Result<std::vector<EndedJob>> {
    std::vector<EndedJob> moved;
    const auto work = [&](SqlSession& session) -> Result<void> {
      MEZZO_TRY(moved, step(session, clock_.WallNow()));
      return {};
    };
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    TellRunless(options_, moved);
    return moved;
  };
  const SqlDialect dialect = db_.dialect();

  MEZZO_TRY(const auto due, in_transaction([&](SqlSession& session, WallTime now) {
              return Move(session, dialect, "state = 'queued', queued_us = $1, run_after_us = NULL",
                          "SELECT id FROM jobs WHERE state = 'scheduled' AND run_after_us <= $1 "
                          "ORDER BY run_after_us LIMIT $2",
                          limit, now);
            }));
  swept.due = due.size();
  MEZZO_TRY(const auto lost, in_transaction([&](SqlSession& session, WallTime now) {
              return Move(session, dialect, rescue,
                          "SELECT id FROM jobs WHERE state = 'running' AND lease_until_us < $1 "
                          "ORDER BY lease_until_us LIMIT $2",
                          limit, now);
            }));
  for (const EndedJob& job : lost) ++(job.state == JobState::kFailed ? swept.quarantined : swept.rescued);
  MEZZO_TRY(const auto late, in_transaction([&](SqlSession& session, WallTime now) {
              return Move(session, dialect,
                          "state = 'failed', finished_us = $1, error_reason = 'deadline_exceeded', "
                          "error_message = 'the deadline passed before the job could start'",
                          "SELECT id FROM jobs WHERE deadline_us IS NOT NULL AND state IN ('queued', "
                          "'scheduled') AND deadline_us <= $1 ORDER BY deadline_us LIMIT $2",
                          limit, now);
            }));
  swept.expired = late.size();
  MEZZO_TRY(const auto aged, in_transaction([&](SqlSession& session, WallTime now) {
              const std::string select =
                  "SELECT id FROM jobs WHERE state = 'queued' AND lane > 1 AND queued_us <= CAST($1 AS "
                  "BIGINT) - " +
                  std::to_string(ToMicros(options_.aging)) + " ORDER BY queued_us LIMIT $2";
              // Level with what starts now in the lane above.
              return Move(session, dialect,
                          "start_tag = COALESCE((SELECT tag FROM job_lanes WHERE job_lanes.lane = jobs.lane "
                          "- 1 AND job_lanes.tenant = ''), 0), lane = lane - 1, queued_us = $1",
                          select, limit, now);
            }));
  swept.promoted = aged.size();
  return swept;
}

}  // namespace mezzo::jobs
