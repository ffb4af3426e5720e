#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>

#include "mezzo/base/mutex.h"
#include "mezzo/drivers/postgres/internal/pg_handles.h"

namespace mezzo::drivers::internal {

/// Sends cancel requests from a thread of its own, since PQcancel() blocks for as long as connecting to the
/// server takes. Thread-safe.
class PgCanceller {
 public:
  /// True once the server has got the request; until then it may hit a later statement.
  using Done = std::shared_ptr<const std::atomic<bool>>;

  PgCanceller();
  /// Waits for the request that is being sent, drops the rest.
  ~PgCanceller();

  /// Asks the server to end what `connection` runs. Dropped (never done) when 64 others wait.
  [[nodiscard]] Done Cancel(PGconn* connection) EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t cancels() const { return cancels_.load(std::memory_order_relaxed); }

 private:
  struct Request {
    PgCancel cancel;
    std::shared_ptr<std::atomic<bool>>
        done;  // Set by this thread, read by the one that waits for the statement.
  };
  void Work() EXCLUDES(mu_);

  std::atomic<std::uint64_t> cancels_{0};  // Counter for metrics; no partner.
  Mutex mu_;
  CondVar changed_;
  std::deque<Request> queue_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::drivers::internal
