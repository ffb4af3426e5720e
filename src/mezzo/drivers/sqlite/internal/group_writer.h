#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/sqlite/internal/sqlite_connection.h"
#include "mezzo/storage/local_notifier.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers::internal {

/// Runs the transactions of many threads on the one connection that writes, and commits those that wait at
/// the same time together, so that they share one fsync ("group commit", DeWitt et al., SIGMOD 1984).
///
/// A thread of its own begins a transaction, runs each waiting work in a savepoint, and commits. A work that
/// fails rolls back its savepoint only and is told at once; the others are told after the COMMIT, all the
/// same. Meanwhile new ones gather for the next group.
///
/// An error can end SQLite's whole transaction (a deadline in the middle of a write, a full disk): the works
/// of the group that had succeeded before are then run again, without the one that failed. When the
/// COMMIT itself finds a violated constraint (a deferred foreign key), each is run again in a transaction of
/// its own.
///
/// Thread-safe. Who waits is a blocked thread, so the queue is bounded by the callers' pools.
class GroupWriter {
 public:
  struct Options {
    std::size_t max_group = 256;                             ///< Transactions in one commit.
    Duration max_group_time = std::chrono::milliseconds(5);  ///< No further work joins a group that is older.
  };
  /// `committed` gets the notifications of each commit, on the writer's thread.
  GroupWriter(std::unique_ptr<SqliteConnection> connection, Options options, const Clock& clock,
              std::function<void(std::vector<storage::Notification>)> committed);
  /// Finishes what is queued.
  ~GroupWriter();

  /// SqlDb::Transact() without retries. Aborts when called from a work.
  Result<void> Transact(const storage::SqlDb::Work& work, TimePoint deadline) EXCLUDES(mu_);

  /// Transactions that wait to be run.
  [[nodiscard]] std::size_t queued() const EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t commits() const { return commits_.load(std::memory_order_relaxed); }

 private:
  enum class Stage : std::uint8_t { kQueued, kRunning, kWaiting, kDone };
  /// One caller's transaction. kWaiting: it ran, and the commit is to come.
  struct Pending {
    const storage::SqlDb::Work* work = nullptr;
    TimePoint deadline = kNever;
    bool alone = false;  // Only the writer's thread reads and writes this and `notifications`.
    std::vector<storage::Notification> notifications;
    // Under mu_:
    Stage stage = Stage::kQueued;
    bool overdue = false;  // The deadline passed while it ran: its caller waits to see it run no more.
    Result<void> result;
    CondVar changed;
  };
  using PendingPtr = std::shared_ptr<Pending>;
  using Group = std::vector<PendingPtr>;
  enum class Ran : std::uint8_t { kKept, kRolledBack, kTransactionLost };

  void Work() EXCLUDES(mu_);
  void RunGroup() EXCLUDES(mu_);
  Ran RunOne(const PendingPtr& pending) EXCLUDES(mu_);
  void Commit(const Group& group) EXCLUDES(mu_);
  [[nodiscard]] bool WaitForWork() EXCLUDES(mu_);
  PendingPtr TakeNext(const Group& group) EXCLUDES(mu_);
  void PutBack(const Group& group) EXCLUDES(mu_);
  void Finish(std::span<const PendingPtr> all, const Result<void>& result) EXCLUDES(mu_);
  void FailQueued(const Error& error) EXCLUDES(mu_);
  void RollBack();

  const std::unique_ptr<SqliteConnection> connection_;
  const Options options_;
  const Clock& clock_;
  const std::function<void(std::vector<storage::Notification>)> committed_;
  std::atomic<std::uint64_t> commits_{0};  // Counter for metrics; no partner.
  mutable Mutex mu_;
  CondVar arrived_;
  std::deque<PendingPtr> queue_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::drivers::internal
