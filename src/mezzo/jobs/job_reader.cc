#include "mezzo/jobs/job_reader.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/jobs/internal/sql_time.h"

namespace mezzo::jobs {
namespace {

using internal::FromMicros;
using internal::TextAt;
using internal::TimeAt;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

constexpr std::string_view kColumns =
    "id, tenant, kind, model, tier, state, cost, created_us, started_us, finished_us, deadline_us, "
    "run_after_us, "
    "attempt, errors, crashes, COALESCE(cancel_requested_us, 0), progress, stage, error_reason, "
    "error_message, version, COALESCE(project, ''), COALESCE(key_id, '')";

Job JobAt(const SqlRows& rows, std::size_t row) {
  const Result<JobState> state = ParseState(rows.Text(row, 5));
  MEZZO_CHECK(state.ok());
  Job job;
  job.id = JobId(rows.Text(row, 0));
  job.tenant = TenantId(rows.Text(row, 1));
  job.kind = rows.Text(row, 2);
  job.model = rows.Text(row, 3);
  job.tier = static_cast<Tier>(rows.Int(row, 4));
  job.state = *state;
  job.cost = rows.Real(row, 6);
  job.created = FromMicros(rows.Int(row, 7));
  job.started = TimeAt(rows, row, 8);
  job.finished = TimeAt(rows, row, 9);
  job.deadline = TimeAt(rows, row, 10);
  job.run_after = TimeAt(rows, row, 11);
  job.attempt = rows.Int(row, 12);
  job.errors = rows.Int(row, 13);
  job.crashes = rows.Int(row, 14);
  job.cancel_requested = rows.Int(row, 15) != 0;
  job.progress = rows.Real(row, 16);
  job.stage = rows.Text(row, 17);
  if (!rows.IsNull(row, 18))
    job.error = JobError{.reason = rows.Text(row, 18), .message = TextAt(rows, row, 19)};
  job.version = rows.Int(row, 20);
  job.project = ProjectId(rows.Text(row, 21));
  job.key = KeyId(rows.Text(row, 22));
  return job;
}

}  // namespace

Result<Job> JobReader::Get(const TenantId& tenant, const JobId& id, TimePoint deadline) {
  static const std::string sql = "SELECT " + std::string(kColumns) +
                                 ", request, checkpoint, result FROM jobs WHERE id = $1 AND tenant = $2";
  Job job;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {id.str(), tenant.str()}));
    if (rows.empty()) return NotFound("job_unknown", "there is no job '" + id.str() + "'");
    job = JobAt(rows, 0);
    job.request = rows.Text(0, 23);
    job.checkpoint = rows.Text(0, 24);
    job.result = rows.Text(0, 25);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return job;
}

Result<JobReader::Page> JobReader::List(const ListRequest& request, TimePoint deadline) {
  std::string sql = "SELECT " + std::string(kColumns) + " FROM jobs WHERE tenant = $1";
  std::vector<SqlValue> params = {request.tenant.str()};
  const auto add = [&](std::string_view condition, std::string value) {
    params.emplace_back(std::move(value));
    sql += std::string(condition) + "$" + std::to_string(params.size());
  };
  if (request.state) add(" AND state = ", std::string(StateName(*request.state)));
  if (!request.kind.empty()) add(" AND kind = ", request.kind);
  if (!request.after.empty()) add(request.newest_first ? " AND id < " : " AND id > ", request.after.str());
  params.emplace_back(static_cast<std::int64_t>(request.limit + 1));
  sql += std::string(" ORDER BY id ") + (request.newest_first ? "DESC" : "ASC") + " LIMIT $" +
         std::to_string(params.size());
  Page page;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    page = {};
    page.has_more = rows.size() > request.limit;
    for (std::size_t row = 0; row < std::min(rows.size(), request.limit); ++row)
      page.jobs.push_back(JobAt(rows, row));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

Result<std::vector<JobReader::Version>> JobReader::Versions(std::span<const JobId> ids, TimePoint deadline) {
  const std::string_view sql =
      db_.dialect() == storage::SqlDialect::kPostgres
          ? "SELECT id, version, state FROM jobs WHERE id = ANY($1::text[])"
          : "SELECT id, version, state FROM jobs WHERE id IN (SELECT value FROM json_each($1))";
  std::vector<Version> versions;
  const auto work = [&](SqlSession& session) -> Result<void> {
    std::vector<std::string> texts;
    for (const JobId& id : ids) texts.push_back(id.str());
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {std::move(texts)}));
    versions.clear();
    for (std::size_t row = 0; row < rows.size(); ++row) {
      MEZZO_TRY(const JobState state, ParseState(rows.Text(row, 2)));
      versions.push_back({.id = JobId(rows.Text(row, 0)), .version = rows.Int(row, 1), .state = state});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return versions;
}

Result<std::vector<JobReader::Depth>> JobReader::Depths(std::size_t limit, TimePoint deadline) {
  std::vector<Depth> depths;
  const auto work = [&](SqlSession& session) -> Result<void> {
    depths.clear();
    for (const Tier lane : {Tier::kPaid, Tier::kUrgent, Tier::kFree}) {
      MEZZO_TRY(const SqlRows rows,
                session.Run(
                    "SELECT COUNT(*), MIN(queued_us) FROM (SELECT queued_us FROM jobs WHERE state = 'queued' "
                    "AND lane = $1 LIMIT $2) AS waiting",
                    {static_cast<std::int64_t>(lane), static_cast<std::int64_t>(limit)}));
      depths.push_back(
          {.lane = lane, .queued = static_cast<std::size_t>(rows.Int(0, 0)), .oldest = TimeAt(rows, 0, 1)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return depths;
}

Result<std::vector<JobReader::Waiting>> JobReader::WaitingByTenant(TimePoint deadline) {
  std::vector<Waiting> waiting;
  const auto work = [&](SqlSession& session) -> Result<void> {
    waiting.clear();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT tenant, model, COUNT(*) FROM jobs WHERE state = 'queued' GROUP BY tenant, model",
                    {}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      waiting.push_back({.tenant = TenantId(std::string(rows.Text(i, 0))),
                         .model = std::string(rows.Text(i, 1)),
                         .queued = static_cast<std::size_t>(rows.Int(i, 2))});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return waiting;
}

}  // namespace mezzo::jobs
