#include "mezzo/drivers/sqlite/sqlite_db.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/drivers/sqlite/internal/group_writer.h"
#include "mezzo/drivers/sqlite/internal/reader_pool.h"
#include "mezzo/drivers/sqlite/internal/sqlite_connection.h"
#include "mezzo/drivers/sqlite/internal/sqlite_session.h"
#include "mezzo/storage/sql_checks.h"
#include "mezzo/storage/sql_retry.h"

namespace mezzo::drivers {

using internal::SqliteConnection;
using storage::SqlAttempt;

namespace {

SqlAttempt Judge(Result<void> result) {
  const bool again = !result.ok() && result.error().reason() == "sql_conflict";
  return {.result = std::move(result), .again = again};
}

}  // namespace

Result<std::unique_ptr<SqliteDb>> SqliteDb::Open(Options options, const Clock& clock) {
  // Absolute, so that no path is taken for SQLite's ":memory:" or "file:...".
  std::error_code failed;
  options.path = std::filesystem::absolute(options.path, failed).string();
  if (failed) return Unavailable("sql_unavailable", "SQLite: the database's path: " + failed.message());
  std::unique_ptr<SqliteDb> db(new SqliteDb(std::move(options), clock));
  MEZZO_TRY_VOID(db->Start());
  return db;
}

SqliteDb::SqliteDb(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
SqliteDb::~SqliteDb() = default;

Result<void> SqliteDb::Start() {
  SqliteConnection::Options connection{.path = options_.path,
                                       .vfs = options_.vfs,
                                       .max_statements = options_.max_statements,
                                       .busy_timeout = options_.busy_timeout};
  MEZZO_TRY(auto writing, SqliteConnection::Open(connection, clock_));
  connection.read_only = true;
  std::vector<std::unique_ptr<SqliteConnection>> reading;
  for (std::size_t i = 0; i < options_.readers; ++i) {
    MEZZO_TRY(reading.emplace_back(), SqliteConnection::Open(connection, clock_));
  }
  notifier_ = std::make_unique<storage::LocalNotifier>(options_.max_notifications, "sqlite-notify");
  readers_ = std::make_unique<internal::ReaderPool>(std::move(reading));
  writer_ = std::make_unique<internal::GroupWriter>(
      std::move(writing),
      internal::GroupWriter::Options{.max_group = options_.max_group,
                                     .max_group_time = options_.max_group_time},
      clock_, [this](std::vector<storage::Notification> all) { notifier_->Publish(std::move(all)); });
  return {};
}

TimePoint SqliteDb::Limit(TimePoint deadline) const {
  return std::min(deadline, AddSaturating(clock_.Now(), options_.max_transaction_time));
}

Result<void> SqliteDb::Transact(const Work& work, TimePoint deadline) {
  deadline = Limit(deadline);
  return storage::RetrySql(clock_, deadline, [&] { return Judge(writer_->Transact(work, deadline)); });
}

Result<void> SqliteDb::Read(const Work& work, TimePoint deadline) {
  deadline = Limit(deadline);
  return storage::RetrySql(clock_, deadline, [&]() -> SqlAttempt {
    auto lease = readers_->Acquire(deadline);
    if (!lease.ok()) return {.result = std::move(lease).error()};
    SqliteConnection& connection = lease->connection();
    connection.SetDeadline(deadline);
    if (auto begun = connection.Do(SqliteConnection::Control::kBegin); !begun.ok())
      return Judge(std::move(begun));
    internal::SqliteSession session(connection, nullptr);
    SqlAttempt attempt = Judge(session.failure().Outcome(work(session)));
    connection.SetDeadline(kNever);
    // There is nothing to commit, and a connection that can't end its transaction fails its next BEGIN.
    if (connection.in_transaction()) (void)connection.Do(SqliteConnection::Control::kRollback);
    return attempt;
  });
}

std::shared_ptr<void> SqliteDb::Listen(std::string channel, Listener listener) {
  MEZZO_CHECK(storage::IsSqlChannel(channel));  // Names of channels stand in code.
  return notifier_->Listen(std::move(channel), std::move(listener));
}

std::size_t SqliteDb::queued() const { return writer_->queued(); }

std::uint64_t SqliteDb::commits() const { return writer_->commits(); }

}  // namespace mezzo::drivers
