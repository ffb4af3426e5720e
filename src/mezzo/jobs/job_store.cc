#include "mezzo/jobs/job_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/uuid.h"
#include "mezzo/jobs/internal/bulk.h"
#include "mezzo/jobs/internal/job_sql.h"
#include "mezzo/jobs/internal/lanes.h"
#include "mezzo/jobs/internal/sql_time.h"

namespace mezzo::jobs {
namespace {

using internal::BulkStatement;
using internal::Lanes;
using internal::Tell;
using internal::TextAt;
using internal::TimeAt;
using internal::ToMicros;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlStatement;
using storage::SqlValue;

std::string Real(double value) { return fmt::format("{:.17g}", value); }

// --- Enqueue
// ---------------------------------------------------------------------------------------------------------

/// Takes the key unless a living row has it; a row comes back when it was taken.
constexpr std::string_view kTakeKey =
    "INSERT INTO job_idempotency (tenant, key, fingerprint, job_id, expires_us) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (tenant, key) DO UPDATE SET fingerprint = excluded.fingerprint, job_id = excluded.job_id, "
    "expires_us = excluded.expires_us WHERE job_idempotency.expires_us <= $6 RETURNING job_id";
constexpr std::string_view kReadKey =
    "SELECT job_id, fingerprint FROM job_idempotency WHERE tenant = $1 AND key = $2";

const BulkStatement& InsertJobs() {
  static const BulkStatement statement(
      "INSERT INTO jobs (id, tenant, kind, model, tier, lane, start_tag, cost, weight, state, created_us, "
      "queued_us, "
      "run_after_us, deadline_us, attempt, errors, crashes, progress, stage, request, checkpoint, result, "
      "webhook_url, "
      "webhook_secret, version, project, key_id) "
      "SELECT {id}, {tenant}, {kind}, {model}, {tier}, {tier}, CAST({start_tag} AS DOUBLE PRECISION), "
      "CAST({cost} AS DOUBLE PRECISION), CAST({weight} AS DOUBLE PRECISION), {state}, $1, $1, "
      "NULLIF({run_after}, 0), "
      "NULLIF({due}, 0), 0, 0, 0, 0, '', {request}, '', '', NULLIF({url}, ''), NULLIF({secret}, ''), 1, "
      "NULLIF({project}, ''), NULLIF({key}, '') "
      "{rows}",
      1,
      {{"id"},
       {"tenant"},
       {"kind"},
       {"model"},
       {"tier", false},
       {"start_tag"},
       {"cost"},
       {"weight"},
       {"state"},
       {"run_after", false},
       {"due", false},
       {"request"},
       {"url"},
       {"secret"},
       {"project"},
       {"key"}});
  return statement;
}

const BulkStatement& KeepTags() {
  static const BulkStatement statement(
      "INSERT INTO job_lanes (lane, tenant, tag) SELECT {lane}, {tenant}, CAST({tag} AS DOUBLE PRECISION) "
      "{rows} "
      // SQLite takes ON after a SELECT for a join unless something stands between.
      "WHERE 1 = 1 ON CONFLICT (lane, tenant) DO UPDATE SET tag = excluded.tag WHERE job_lanes.tag < "
      "excluded.tag",
      0, {{"lane", false}, {"tenant"}, {"tag"}});
  return statement;
}

/// Loads the tags of these lanes and tenants. On PostgreSQL the tenants' rows stay locked until the end of
/// the transaction, in one order, so that two hosts can't give two jobs the same tag.
Result<void> LoadLanes(SqlSession& session, SqlDialect dialect, const std::set<Lanes::Key>& keys,
                       Lanes& lanes) {
  const std::string_view lock = "SELECT tag FROM job_lanes WHERE lane = $1 AND tenant = $2 FOR UPDATE";
  const std::string_view plain = "SELECT tag FROM job_lanes WHERE lane = $1 AND tenant = $2";
  std::vector<SqlStatement> statements;
  for (const auto& [lane, tenant] : keys) {
    const bool shared = dialect == SqlDialect::kPostgres && !tenant.empty();
    statements.push_back({.sql = shared ? lock : plain, .params = {lane, tenant}});
  }
  MEZZO_TRY(const std::vector<SqlRows> rows, session.RunAll(statements));
  auto key = keys.begin();
  for (std::size_t i = 0; i < rows.size(); ++i, ++key) {
    if (!rows[i].empty()) lanes.Load(*key, rows[i].Real(0, 0));
  }
  return {};
}

Result<void> SaveLanes(SqlSession& session, SqlDialect dialect, const Lanes& lanes) {
  std::vector<std::int64_t> numbers;
  std::vector<std::string> tenants;
  std::vector<std::string> tags;
  for (const auto& [key, tag] : lanes.tags()) {
    if (key.second.empty()) continue;  // The clock is moved by claims.
    numbers.push_back(key.first);
    tenants.push_back(key.second);
    tags.push_back(Real(tag));
  }
  MEZZO_TRY_VOID(
      KeepTags().Run(session, dialect, {}, {std::move(numbers), std::move(tenants), std::move(tags)}));
  return {};
}

/// The columns of InsertJobs(), filled row by row.
struct JobColumns {
  std::vector<std::string> id, tenant, kind, model, start_tag, cost, weight, state, request, url, secret,
      project, key;
  std::vector<std::int64_t> tier, run_after, due;

  void Add(const std::string& job_id, const NewJob& job, double tag) {
    id.push_back(job_id);
    tenant.push_back(job.tenant.str());
    kind.push_back(job.kind);
    model.push_back(job.model);
    tier.push_back(static_cast<std::int64_t>(job.tier));
    start_tag.push_back(Real(tag));
    cost.push_back(Real(job.cost));
    weight.push_back(Real(job.weight));
    state.emplace_back(StateName(job.run_after ? JobState::kScheduled : JobState::kQueued));
    run_after.push_back(job.run_after ? ToMicros(*job.run_after) : 0);
    due.push_back(job.deadline ? ToMicros(*job.deadline) : 0);
    request.push_back(job.request);
    url.push_back(job.webhook ? job.webhook->url : "");
    secret.push_back(job.webhook ? job.webhook->secret : "");
    project.push_back(job.project.str());
    key.push_back(job.key.str());
  }
  std::vector<internal::BulkColumn> Take() && {
    return {std::move(id),    std::move(tenant),    std::move(kind),    std::move(model),
            std::move(tier),  std::move(start_tag), std::move(cost),    std::move(weight),
            std::move(state), std::move(run_after), std::move(due),     std::move(request),
            std::move(url),   std::move(secret),    std::move(project), std::move(key)};
  }
};

}  // namespace

JobStore::JobStore(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(std::move(options)), db_(db), clock_(clock) {}

Result<std::vector<Result<JobStore::Submitted>>> JobStore::Enqueue(std::span<const NewJob> jobs,
                                                                   TimePoint deadline) {
  std::vector<Result<Submitted>> outcomes;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    outcomes.clear();
    for (std::size_t i = 0; i < jobs.size(); ++i)
      outcomes.emplace_back(Submitted{.id = JobId(NewUuidV7(now))});

    // In the order of the keys: two hosts that get the same keys must not wait for each other in a circle.
    std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> keyed;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (!jobs[i].idempotency_key.empty())
        keyed[{jobs[i].tenant.str(), jobs[i].idempotency_key}].push_back(i);
    }
    for (const auto& [key, indices] : keyed) {
      const NewJob& first = jobs[indices[0]];
      MEZZO_TRY(
          const SqlRows taken,
          session.Run(kTakeKey, {key.first, key.second, first.fingerprint, outcomes[indices[0]]->id.str(),
                                 ToMicros(now + options_.idempotency_lifetime), ToMicros(now)}));
      MEZZO_TRY(const SqlRows row, session.Run(kReadKey, {key.first, key.second}));
      if (row.empty()) return Error(Code::kAborted, "sql_conflict", "an idempotency key vanished");
      for (std::size_t n = taken.empty() ? 0 : 1; n < indices.size(); ++n) {
        if (jobs[indices[n]].fingerprint == row.Text(0, 1)) {
          outcomes[indices[n]] = Submitted{.id = JobId(row.Text(0, 0)), .replayed = true};
        } else {
          outcomes[indices[n]] =
              InvalidArgument("idempotency_mismatch",
                              "Idempotency-Key '" + key.second + "' was used before with another request");
        }
      }
    }

    std::set<Lanes::Key> keys;
    for (const NewJob& job : jobs) {
      keys.insert({static_cast<std::int64_t>(job.tier), ""});
      keys.insert({static_cast<std::int64_t>(job.tier), job.tenant.str()});
    }
    Lanes lanes;
    MEZZO_TRY_VOID(LoadLanes(session, db_.dialect(), keys, lanes));
    JobColumns columns;
    std::vector<std::string> queued;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      if (!outcomes[i].ok() || outcomes[i]->replayed) continue;
      const NewJob& job = jobs[i];
      columns.Add(outcomes[i]->id.str(), job,
                  lanes.Add(static_cast<std::int64_t>(job.tier), job.tenant.str(), job.cost, job.weight));
      if (!job.run_after) queued.push_back(outcomes[i]->id.str());
    }
    if (columns.id.empty()) return {};
    MEZZO_TRY_VOID(SaveLanes(session, db_.dialect(), lanes));
    MEZZO_TRY_VOID(InsertJobs().Run(session, db_.dialect(), {ToMicros(now)}, std::move(columns).Take()));
    return Tell(session, kQueuedChannel, queued);
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return outcomes;
}

// --- Claim and renew
// -------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kNextIds =
    "SELECT id FROM jobs WHERE state = 'queued' AND lane <= $5 ORDER BY lane, start_tag, id LIMIT $4";
constexpr std::string_view kHead =
    "SELECT id, model, queued_us FROM jobs WHERE state = 'queued' AND lane <= $2 "
    "ORDER BY lane, start_tag, id LIMIT $1";
constexpr std::string_view kMoveClock =
    "INSERT INTO job_lanes (lane, tenant, tag) VALUES ($1, '', $2) "
    "ON CONFLICT (lane, tenant) DO UPDATE SET tag = excluded.tag WHERE job_lanes.tag < excluded.tag";

/// How far beyond the head of the queue a host looks for models that it has.
constexpr std::size_t kWindow = 4;

std::string ClaimWhere(const std::string& condition) {
  return "UPDATE jobs SET state = 'running', attempt = attempt + 1, host = $1, lease_until_us = $2, "
         "started_us = $3, "
         "stage = '', version = version + 1 WHERE " +
         condition +
         " RETURNING jobs.id, jobs.attempt, jobs.tenant, jobs.kind, jobs.model, jobs.tier, jobs.cost, "
         "jobs.weight, "
         "jobs.deadline_us, jobs.errors, jobs.request, jobs.checkpoint, COALESCE(jobs.cancel_requested_us, "
         "0), "
         "jobs.lane, jobs.start_tag, COALESCE(jobs.project, ''), COALESCE(jobs.key_id, '')";
}

/// The next $4 jobs.
const std::string& ClaimNext(SqlDialect dialect) {
  static const std::string sqlite = ClaimWhere(internal::IdsOf(kNextIds, SqlDialect::kSqlite));
  static const std::string postgres = ClaimWhere(internal::IdsOf(kNextIds, SqlDialect::kPostgres));
  return dialect == SqlDialect::kPostgres ? postgres : sqlite;
}

/// Those of the jobs $4 that are still waiting.
const std::string& ClaimThese(SqlDialect dialect) {
  static const std::string sqlite =
      ClaimWhere("state = 'queued' AND id IN (SELECT value FROM json_each($4))");
  static const std::string postgres = ClaimWhere(internal::IdsOf(
      "SELECT id FROM jobs WHERE state = 'queued' AND id = ANY($4::text[])", SqlDialect::kPostgres));
  return dialect == SqlDialect::kPostgres ? postgres : sqlite;
}

LeasedJob LeasedAt(const SqlRows& rows, std::size_t row) {
  LeasedJob job;
  job.fence = {.id = JobId(rows.Text(row, 0)), .attempt = rows.Int(row, 1)};
  job.tenant = TenantId(rows.Text(row, 2));
  job.kind = rows.Text(row, 3);
  job.model = rows.Text(row, 4);
  job.tier = static_cast<Tier>(rows.Int(row, 5));
  job.cost = rows.Real(row, 6);
  job.weight = rows.Real(row, 7);
  job.deadline = TimeAt(rows, row, 8);
  job.errors = rows.Int(row, 9);
  job.request = rows.Text(row, 10);
  job.checkpoint = rows.Text(row, 11);
  job.cancel_requested = rows.Int(row, 12) != 0;
  job.lane = rows.Int(row, 13);
  job.project = ProjectId(rows.Text(row, 15));
  job.key = KeyId(rows.Text(row, 16));
  return job;
}

const BulkStatement& RenewLeases() {
  static const BulkStatement statement(
      "UPDATE jobs SET lease_until_us = $1 {rows} WHERE jobs.id = {job} AND jobs.attempt = {run} AND "
      "jobs.host = $2 "
      "AND jobs.state = 'running' RETURNING jobs.id, COALESCE(jobs.cancel_requested_us, 0)",
      2, {{"job"}, {"run", false}});
  return statement;
}

}  // namespace

/// The ids that this host should take: those whose model it has, and those that waited too long for a host
/// that has.
std::vector<std::string> JobStore::Choose(const SqlRows& head, const ClaimRequest& request,
                                          WallTime now) const {
  const std::set<std::string, std::less<>> warm(request.warm_models.begin(), request.warm_models.end());
  const std::int64_t impatient = ToMicros(now - options_.patience);
  std::vector<std::string> ids;
  for (std::size_t row = 0; row < head.size() && ids.size() < request.limit; ++row) {
    const std::string& model = head.Text(row, 1);
    if (model.empty() || warm.contains(model) || head.Int(row, 2) <= impatient)
      ids.push_back(head.Text(row, 0));
  }
  return ids;
}

Result<std::vector<LeasedJob>> JobStore::Claim(const ClaimRequest& request, TimePoint deadline) {
  std::vector<LeasedJob> leased;
  if (request.limit == 0) return leased;
  const auto work = [&](SqlSession& session) -> Result<void> {
    const WallTime now = clock_.WallNow();
    std::vector<SqlValue> params = {request.host.str(), ToMicros(now + options_.lease), ToMicros(now)};
    SqlRows rows;
    if (request.only_host) {
      params.emplace_back(static_cast<std::int64_t>(request.limit));
      params.emplace_back(request.last_lane);
      MEZZO_TRY(rows, session.Run(ClaimNext(db_.dialect()), std::move(params)));
    } else {
      MEZZO_TRY(const SqlRows head,
                session.Run(kHead, {static_cast<std::int64_t>(request.limit * kWindow), request.last_lane}));
      std::vector<std::string> ids = Choose(head, request, now);
      if (ids.empty()) return {};
      params.emplace_back(std::move(ids));
      MEZZO_TRY(rows, session.Run(ClaimThese(db_.dialect()), std::move(params)));
    }
    std::vector<std::size_t> order(rows.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto rank = [&rows](std::size_t row) {
      return std::make_tuple(rows.Int(row, 13), rows.Real(row, 14), std::string_view(rows.Text(row, 0)));
    };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
    leased.clear();
    std::map<std::int64_t, double> clocks;
    for (const std::size_t row : order) {
      leased.push_back(LeasedAt(rows, row));
      clocks[rows.Int(row, 13)] = rows.Real(row, 14);
    }
    for (const auto& [lane, tag] : clocks) MEZZO_TRY_VOID(session.Run(kMoveClock, {lane, tag}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return leased;
}

Result<std::vector<JobStore::Renewed>> JobStore::Renew(const HostId& host, std::span<const Fence> fences,
                                                       TimePoint deadline) {
  std::vector<Renewed> renewed;
  const auto work = [&](SqlSession& session) -> Result<void> {
    renewed.clear();
    std::vector<std::string> ids;
    std::vector<std::int64_t> attempts;
    for (const Fence& fence : fences) {
      ids.push_back(fence.id.str());
      attempts.push_back(fence.attempt);
    }
    MEZZO_TRY(const SqlRows rows, RenewLeases().Run(session, db_.dialect(),
                                                    {ToMicros(clock_.WallNow() + options_.lease), host.str()},
                                                    {std::move(ids), std::move(attempts)}));
    for (std::size_t row = 0; row < rows.size(); ++row)
      renewed.push_back({.id = JobId(rows.Text(row, 0)), .cancel_requested = rows.Int(row, 1) != 0});
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return renewed;
}

}  // namespace mezzo::jobs
