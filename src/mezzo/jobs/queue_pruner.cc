#include "mezzo/jobs/queue_pruner.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "mezzo/jobs/internal/sql_time.h"

namespace mezzo::jobs {
namespace {

using std::chrono::months;
using std::chrono::sys_days;
using std::chrono::year_month;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;

/// How long a job may live before it ends; a month's partition waits for so long beyond the retention.
constexpr Duration kLongestLife = std::chrono::hours(24 * 40);

// DDL on a table that everybody uses: whoever is in the way shall not be queued behind it for long.
constexpr std::string_view kBegin =
    "SET LOCAL lock_timeout = '2s'; SELECT pg_advisory_xact_lock(hashtext('mezzo jobs partitions'));";

// `jobs_default` holds what no month has; the months are dropped whole. $3 is the first id that was made
// after $1: what came later cannot have ended before.
constexpr std::string_view kDeleteJobs =
    "DELETE FROM {} WHERE id IN (SELECT id FROM {} WHERE id < $3 AND finished_us < $1 AND state IN "
    "('succeeded', 'failed', 'cancelled') ORDER BY id LIMIT $2)";
constexpr std::string_view kDeleteKeys =
    "DELETE FROM job_idempotency WHERE (tenant, key) IN (SELECT tenant, key FROM job_idempotency "
    "WHERE expires_us < $1 ORDER BY expires_us LIMIT $2)";
constexpr std::string_view kDeleteUsage =
    "DELETE FROM job_usage WHERE (job_id, attempt) IN (SELECT job_id, attempt FROM job_usage "
    "WHERE job_id < $3 AND ended_us < $1 ORDER BY job_id LIMIT $2)";
constexpr std::string_view kPartitions =
    "SELECT CAST(substr(relname, 6, 4) AS BIGINT), CAST(substr(relname, 11, 2) AS BIGINT) FROM pg_inherits "
    "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = CAST('jobs' AS regclass) "
    "AND relname ~ '^jobs_[0-9]{4}_[0-9]{2}$' ORDER BY relname";

WallTime StartOf(year_month month) { return WallTime(sys_days(month / 1).time_since_epoch()); }
year_month MonthOf(WallTime time) {
  const std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(time));
  return day.year() / day.month();
}
std::string PartitionOf(year_month month) {
  return fmt::format("jobs_{:04}_{:02}", static_cast<int>(month.year()),
                     static_cast<unsigned>(month.month()));
}
/// What every UUIDv7 made at `time` or later is not below (RFC 9562 section 5.7).
std::string FirstId(WallTime time) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:08x}-{:04x}", millis >> 16, millis & 0xffff);
}

}  // namespace

QueuePruner::QueuePruner(Options options, storage::SqlDb& db, const Clock& clock)
    : options_(options), db_(db), clock_(clock) {}

Result<QueuePruner::Pruned> QueuePruner::Prune(TimePoint deadline) {
  Pruned pruned;
  const bool partitioned = db_.dialect() == SqlDialect::kPostgres;
  if (partitioned) {
    MEZZO_TRY_VOID(MakePartitions(pruned, deadline));
    MEZZO_TRY_VOID(DropPartitions(pruned, deadline));
  }
  const WallTime now = clock_.WallNow();
  const auto rows = static_cast<std::int64_t>(options_.rows);
  const auto before = [&](Duration retention) -> std::vector<SqlValue> {
    return {internal::ToMicros(now - retention), rows, FirstId(now - retention)};
  };
  const std::string_view table = partitioned ? "jobs_default" : "jobs";
  MEZZO_TRY(pruned.jobs, Delete(fmt::format(fmt::runtime(kDeleteJobs), table, table),
                                before(options_.job_retention), deadline));
  MEZZO_TRY(pruned.keys, Delete(kDeleteKeys, {internal::ToMicros(now), rows}, deadline));
  MEZZO_TRY(pruned.usage, Delete(kDeleteUsage, before(options_.usage_retention), deadline));
  pruned.more = pruned.jobs == options_.rows || pruned.keys == options_.rows || pruned.usage == options_.rows;
  return pruned;
}

Result<void> QueuePruner::MakePartitions(Pruned& pruned, TimePoint deadline) {
  const year_month current = MonthOf(clock_.WallNow());
  for (const year_month month : {current, current + months(1)}) {
    const std::string name = PartitionOf(month);
    const std::string first = FirstId(StartOf(month));
    const std::string last = FirstId(StartOf(month + months(1)));
    bool made = false;
    const auto make = [&](SqlSession& session) -> Result<void> {
      made = false;
      MEZZO_TRY(const SqlRows known, session.Run("SELECT 1 FROM pg_class WHERE relname = $1", {name}));
      if (!known.empty()) return {};
      MEZZO_TRY_VOID(session.RunScript(kBegin));
      // What the default partition holds of this month keeps it there: rows don't move by themselves.
      MEZZO_TRY(const SqlRows taken,
                session.Run("SELECT 1 FROM jobs_default WHERE id >= $1 AND id < $2 LIMIT 1", {first, last}));
      if (!taken.empty()) return {};
      made = true;
      return session.RunScript(
          fmt::format("CREATE TABLE IF NOT EXISTS {} PARTITION OF jobs FOR VALUES FROM ('{}') TO ('{}');",
                      name, first, last));
    };
    MEZZO_TRY_VOID(db_.Transact(make, deadline));
    if (made) ++pruned.partitions_made;
  }
  return {};
}

Result<void> QueuePruner::DropPartitions(Pruned& pruned, TimePoint deadline) {
  std::vector<year_month> old;
  const WallTime now = clock_.WallNow();
  const auto find = [&](SqlSession& session) -> Result<void> {
    old.clear();
    MEZZO_TRY(const SqlRows rows, session.Run(kPartitions, {}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const year_month month = std::chrono::year(static_cast<int>(rows.Int(row, 0))) /
                               std::chrono::month(static_cast<unsigned>(rows.Int(row, 1)));
      const WallTime end = StartOf(month + months(1));
      if (end + options_.job_retention + kLongestLife < now) old.push_back(month);
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(find, deadline));
  for (const year_month month : old) {
    const std::string name = PartitionOf(month);
    bool dropped = false;
    const auto drop = [&](SqlSession& session) -> Result<void> {
      dropped = false;
      MEZZO_TRY_VOID(session.RunScript(kBegin));
      // By the partial indexes of these states.
      std::string unfinished;
      for (const std::string_view state : {"queued", "scheduled", "running"}) {
        unfinished.append(unfinished.empty() ? "" : " UNION ALL ");
        unfinished.append("SELECT 1 FROM ").append(name).append(" WHERE state = '").append(state).append("'");
      }
      unfinished += " LIMIT 1";
      MEZZO_TRY(const SqlRows known, session.Run("SELECT 1 FROM pg_class WHERE relname = $1", {name}));
      if (known.empty()) return {};  // Another host was first.
      MEZZO_TRY(const SqlRows alive, session.Run(unfinished, {}));
      if (!alive.empty()) return {};
      dropped = true;
      return session.RunScript("DROP TABLE " + name + ";");
    };
    MEZZO_TRY_VOID(db_.Transact(drop, deadline));
    if (dropped) ++pruned.partitions_dropped;
  }
  return {};
}

Result<std::size_t> QueuePruner::Delete(std::string_view sql, std::vector<SqlValue> params,
                                        TimePoint deadline) {
  std::size_t deleted = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    deleted = static_cast<std::size_t>(rows.affected());
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return deleted;
}

}  // namespace mezzo::jobs
