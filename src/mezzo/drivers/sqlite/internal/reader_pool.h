#pragma once

#include <memory>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/sqlite/internal/sqlite_connection.h"

namespace mezzo::drivers::internal {

/// A fixed set of connections that read. Who waits for one is a blocked thread, so waiters are bounded by the
/// callers' pools. Thread-safe.
class ReaderPool {
 public:
  explicit ReaderPool(std::vector<std::unique_ptr<SqliteConnection>> connections)
      : idle_(std::move(connections)) {}

  /// Gives its connection back when it dies. Move-only.
  class Lease {
   public:
    Lease(ReaderPool& pool, std::unique_ptr<SqliteConnection> connection)
        : pool_(&pool), connection_(std::move(connection)) {}
    Lease(Lease&&) = default;
    ~Lease() {
      if (connection_) pool_->GiveBack(std::move(connection_));
    }
    [[nodiscard]] SqliteConnection& connection() const { return *connection_; }

   private:
    ReaderPool* const pool_;
    std::unique_ptr<SqliteConnection> connection_;
  };

  /// Waits for a free one. Fails with kDeadlineExceeded "sql_timeout".
  Result<Lease> Acquire(TimePoint deadline) EXCLUDES(mu_);

 private:
  void GiveBack(std::unique_ptr<SqliteConnection> connection) EXCLUDES(mu_);

  Mutex mu_;
  CondVar freed_;
  std::vector<std::unique_ptr<SqliteConnection>> idle_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers::internal
