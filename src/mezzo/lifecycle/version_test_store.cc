#include "mezzo/lifecycle/version_test_store.h"

#include <array>
#include <utility>

namespace mezzo::lifecycle {
namespace {

using storage::SqlRows;
using storage::SqlStatement;

// Times are microseconds of the wall clock. `finished_us` is 0 while a test is
// under way.
constexpr std::string_view kTables = R"sql(
CREATE TABLE version_tests (
  model_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  host TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  lease_until_us BIGINT NOT NULL,
  finished_us BIGINT NOT NULL,
  report TEXT NOT NULL,
  PRIMARY KEY (model_id, version)
);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "version_tests", .sql = kTables, .sqlite = "", .postgres = ""}}};

constexpr std::string_view kClaim = R"sql(
INSERT INTO version_tests (model_id, version, host, attempt, lease_until_us, finished_us, report)
VALUES ($1, $2, $3, 1, $5, 0, '')
ON CONFLICT (model_id, version) DO UPDATE SET host = excluded.host, lease_until_us = excluded.lease_until_us,
  attempt = CASE WHEN version_tests.finished_us > 0 THEN 1 ELSE version_tests.attempt + 1 END, finished_us = 0
WHERE version_tests.lease_until_us < $4
RETURNING attempt)sql";
constexpr std::string_view kRenew =
    "UPDATE version_tests SET lease_until_us = $5 WHERE model_id = $1 AND "
    "version = $2 AND host = $3 AND "
    "attempt = $4 AND finished_us = 0";
constexpr std::string_view kRelease =
    "UPDATE version_tests SET lease_until_us = $5, attempt = attempt - 1 WHERE "
    "model_id = $1 AND version = $2 AND "
    "host = $3 AND attempt = $4 AND finished_us = 0";
constexpr std::string_view kFinish =
    "UPDATE version_tests SET lease_until_us = 0, finished_us = $5, report = "
    "$6 WHERE model_id = $1 AND version = $2 "
    "AND host = $3 AND attempt = $4 AND finished_us = 0";
constexpr std::string_view kReport =
    "SELECT report FROM version_tests WHERE model_id = $1 AND version = $2 AND "
    "report <> ''";
constexpr std::string_view kPrune =
    "DELETE FROM version_tests WHERE NOT EXISTS (SELECT 1 FROM "
    "registry_versions WHERE registry_versions.model_id = "
    "version_tests.model_id AND registry_versions.version = "
    "version_tests.version)";

Result<SqlRows> Write(storage::SqlDb& db, std::string_view sql, std::vector<storage::SqlValue> params,
                      TimePoint deadline) {
  const SqlStatement statement{.sql = sql, .params = std::move(params)};
  MEZZO_TRY(std::vector<SqlRows> rows, db.TransactAll(std::span(&statement, 1), {}, deadline));
  return std::move(rows.front());
}

}  // namespace

std::span<const storage::Migration> VersionTestMigrations() { return kMigrations; }

std::int64_t VersionTestStore::Micros(Duration after) const {
  return std::chrono::duration_cast<std::chrono::microseconds>((clock_.WallNow() + after).time_since_epoch())
      .count();
}

Result<std::optional<VersionTestStore::Held>> VersionTestStore::Claim(const Subject& subject,
                                                                      const std::string& host, Duration lease,
                                                                      TimePoint deadline) {
  MEZZO_TRY(const SqlRows rows,
            Write(db_, kClaim, {subject.model_id, subject.version, host, Micros(), Micros(lease)}, deadline));
  if (rows.empty()) return std::optional<Held>();
  return std::optional<Held>({.subject = subject, .host = host, .attempt = rows.Int(0, 0)});
}

Result<bool> VersionTestStore::Renew(const Held& held, Duration lease, TimePoint deadline) {
  MEZZO_TRY(
      const SqlRows rows,
      Write(db_, kRenew,
            {held.subject.model_id, held.subject.version, held.host, held.attempt, Micros(lease)}, deadline));
  return rows.affected() == 1;
}

Result<void> VersionTestStore::Release(const Held& held, Duration pause, TimePoint deadline) {
  MEZZO_TRY_VOID(Write(db_, kRelease,
                       {held.subject.model_id, held.subject.version, held.host, held.attempt, Micros(pause)},
                       deadline));
  return {};
}

Result<bool> VersionTestStore::Finish(const Held& held, const std::string& report, TimePoint deadline) {
  MEZZO_TRY(const SqlRows rows,
            Write(db_, kFinish,
                  {held.subject.model_id, held.subject.version, held.host, held.attempt, Micros(), report},
                  deadline));
  return rows.affected() == 1;
}

Result<std::optional<std::string>> VersionTestStore::ReportOf(const Subject& subject, TimePoint deadline) {
  std::optional<std::string> report;
  const auto read = [&](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(kReport, {subject.model_id, subject.version}));
    report = rows.empty() ? std::nullopt : std::optional(rows.Text(0, 0));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(read, deadline));
  return report;
}

Result<std::int64_t> VersionTestStore::Prune(TimePoint deadline) {
  MEZZO_TRY(const SqlRows rows, Write(db_, kPrune, {}, deadline));
  return rows.affected();
}

}  // namespace mezzo::lifecycle
