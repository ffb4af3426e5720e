#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "mezzo/base/fd.h"
#include "mezzo/drivers/postgres/internal/pg_connection.h"
#include "mezzo/storage/listeners.h"

namespace mezzo::drivers::internal {

/// LISTEN on one connection of its own, with a thread; connected while somebody listens. Reconnects with
/// runtime::Backoff (100 ms to 10 s). Thread-safe.
class PgListener {
 public:
  explicit PgListener(PgShared& shared);
  /// Waits for a running listener.
  ~PgListener();

  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, storage::SqlDb::Listener listener) {
    return listeners_.Add(std::move(channel), std::move(listener));
  }

 private:
  void Work();
  /// Connects if need be, listens to what is wanted, and hands on what comes within half a minute.
  Result<void> Serve(const std::set<std::string>& wanted);
  Result<void> Change(const std::set<std::string>& wanted);
  Result<void> RunNow(const std::string& sql);
  void Wake();
  /// Until `until`, or Wake() when `wakes`. Ends when stopping.
  void Sleep(TimePoint until, bool wakes);

  PgShared& shared_;
  const Fd wake_;                             // An eventfd.
  std::atomic<bool> stopping_{false};         // Partner: wake_, written after it.
  std::unique_ptr<PgConnection> connection_;  // With active_ of the thread's own.
  std::set<std::string> active_;
  storage::Listeners listeners_;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::drivers::internal
