#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/local_notifier.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers {

namespace internal {
class GroupWriter;
class ReaderPool;
}  // namespace internal

/// A database in one file of this host. Every commit is on disk (fsync) before Transact() returns; commits of
/// threads that call it at the same time share one fsync. Thread-safe.
///
/// The file may be opened by other processes, but notifications reach listeners of this process only: with
/// several hosts or processes use PostgreSQL.
class SqliteDb final : public storage::SqlDb {
 public:
  struct Options {
    std::string path;                  ///< Created (mode 0600) when there is none.
    std::size_t readers = 4;           ///< Connections for Read().
    std::size_t max_statements = 128;  ///< Prepared and kept, per connection.
    std::size_t max_group = 256;       ///< Transactions in one commit.
    Duration max_group_time =
        std::chrono::milliseconds(5);                 ///< No further transaction joins an older commit.
    Duration busy_timeout = std::chrono::seconds(5);  ///< Wait for the lock of another process.
    Duration max_transaction_time = std::chrono::minutes(10);  ///< Also when the caller's deadline is later.
    std::size_t max_notifications = 4096;  ///< Waiting for listeners; beyond it they get an empty payload.
    std::string vfs;                       ///< A registered sqlite3_vfs; empty: SQLite's default.
  };
  /// `clock` must be real and outlive the database. Fails with kUnavailable "sql_unavailable" when the file
  /// can't be opened, is no database, or lies where WAL mode is not possible (network file systems).
  static Result<std::unique_ptr<SqliteDb>> Open(Options options, const Clock& clock);
  /// Finishes the transactions that wait. No call may run.
  ~SqliteDb() override;

  [[nodiscard]] storage::SqlDialect dialect() const override { return storage::SqlDialect::kSqlite; }
  Result<void> Transact(const Work& work, TimePoint deadline) override;
  Result<void> Read(const Work& work, TimePoint deadline) override;
  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, Listener listener) override;

  /// Transactions that wait for the writer.
  [[nodiscard]] std::size_t queued() const;
  /// Commits on disk so far: at most one per transaction, fewer when they share.
  [[nodiscard]] std::uint64_t commits() const;

 private:
  SqliteDb(Options options, const Clock& clock);
  Result<void> Start();
  [[nodiscard]] TimePoint Limit(TimePoint deadline) const;

  const Options options_;
  const Clock& clock_;
  std::unique_ptr<storage::LocalNotifier> notifier_;
  std::unique_ptr<internal::ReaderPool> readers_;
  std::unique_ptr<internal::GroupWriter> writer_;  // Last: its thread uses the notifier.
};

}  // namespace mezzo::drivers
