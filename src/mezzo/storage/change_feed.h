#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/failure_log.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage {

/// Keeps up with what a database has: reads when a notification says that something has changed, and at each
/// poll in any case. After a failed reading it waits for the poll's time, whatever is told meanwhile.
///
/// A reading counts as current from the moment it was begun, for `trusted`: IsFresh() turns false by the
/// clock alone when readings fail or hang.
///
/// A thread of its own, on which `read` runs. Thread-safe.
class ChangeFeed {
 public:
  struct Options {
    std::string thread;   ///< Its name, at most 15 bytes.
    std::string channel;  ///< Where changes are told.
    Duration poll = std::chrono::seconds(1);
    Duration trusted{};     ///< Zero: never fresh.
    std::string failed;     ///< Is logged at the first of several failures,
    std::string recovered;  ///< and when they are over.
  };
  struct Ports {
    SqlDb* db =
        nullptr;  ///< Tells of changes; null: only the poll finds them. Outlives the feed, as the next two.
    const Clock& clock;
    observe::Logger& log;
    /// Takes over what the database has. Blocks. `begun`: when the reading began, by `clock`.
    std::function<Result<void>(TimePoint begun)> read;
  };
  ChangeFeed(Options options, Ports ports);
  ~ChangeFeed() { Stop(); }
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  /// Reads at once, and keeps up from now on, until Stop(). Once.
  void Start() EXCLUDES(mu_);
  /// Waits for a reading that runs. Idempotent.
  void Stop() EXCLUDES(mu_);

  /// Waits until `read` has taken over whatever the database had when this was called, at most for `limit`;
  /// whether it has. Blocks; after Start().
  bool CatchUp(Duration limit) EXCLUDES(mu_);
  /// Whether a reading that was begun no longer than `trusted` before `now` has succeeded. One atomic.
  [[nodiscard]] bool IsFresh(TimePoint now) const {
    return now <= TimePoint(Duration(fresh_until_.load(std::memory_order_acquire)));
  }

 private:
  runtime::PeriodicThread::Pause Read() EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  /// Since the clock's epoch. Partner: what `read` has taken over before it.
  std::atomic<Duration::rep> fresh_until_{Duration::min().count()};

  Mutex mu_;
  CondVar changed_;
  std::uint64_t asked_ GUARDED_BY(mu_) = 0;      // Calls of CatchUp(),
  std::uint64_t caught_up_ GUARDED_BY(mu_) = 0;  // and those that a reading has come after.
  bool stopping_ GUARDED_BY(mu_) = false;
  observe::FailureLog failures_;  // The feed's thread only.
  const RealClock poll_clock_;
  std::shared_ptr<void> subscription_;
  runtime::PeriodicThread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::storage
