#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/postgres/internal/pg_connection.h"

namespace mezzo::drivers::internal {

/// At most `max_connections` connections, made when needed. The one that was used last is handed out first,
/// so that idle ones grow old and are closed. Who waits is a blocked thread, so waiters are bounded by the
/// callers' pools. Thread-safe.
class PgPool {
 public:
  struct Options {
    std::size_t max_connections = 16;
    Duration idle_timeout = std::chrono::minutes(5);
    Duration max_lifetime = std::chrono::minutes(30);
  };
  PgPool(Options options, PgShared& shared) : options_(options), shared_(shared) {}

  /// Gives its connection back when it dies. Move-only.
  class Lease {
   public:
    Lease(PgPool& pool, std::unique_ptr<PgConnection> connection)
        : pool_(&pool), connection_(std::move(connection)) {}
    Lease(Lease&&) = default;
    ~Lease() {
      if (connection_) pool_->GiveBack(std::move(connection_));
    }
    [[nodiscard]] PgConnection& connection() const { return *connection_; }

   private:
    PgPool* const pool_;
    std::unique_ptr<PgConnection> connection_;
  };

  /// Waits for a free connection or makes one. Fails as PgConnection::Connect(), and with kDeadlineExceeded
  /// "sql_timeout" when none became free.
  Result<Lease> Acquire(TimePoint deadline) EXCLUDES(mu_);

 private:
  using ConnectionPtr = std::unique_ptr<PgConnection>;
  struct Idle {
    ConnectionPtr connection;
    TimePoint since;
  };
  /// An idle connection, or null: the caller may make one. Counts it as open.
  Result<ConnectionPtr> Take(TimePoint deadline) EXCLUDES(mu_);
  void GiveBack(ConnectionPtr connection) EXCLUDES(mu_);
  void CountClosed(std::size_t count) EXCLUDES(mu_);

  const Options options_;
  PgShared& shared_;
  Mutex mu_;
  CondVar freed_;
  std::deque<Idle> idle_ GUARDED_BY(mu_);  // The one used last at the back.
  std::size_t open_ GUARDED_BY(mu_) = 0;   // Idle, lent or being made.
};

}  // namespace mezzo::drivers::internal
