#include "mezzo/drivers/sqlite/internal/reader_pool.h"

#include <utility>

namespace mezzo::drivers::internal {

Result<ReaderPool::Lease> ReaderPool::Acquire(TimePoint deadline) {
  MutexLock lock(mu_);
  while (idle_.empty()) {
    if (!freed_.WaitUntil(mu_, deadline) && idle_.empty()) {
      return DeadlineExceeded("sql_timeout", "SQLite: no reading connection became free in time");
    }
  }
  std::unique_ptr<SqliteConnection> connection = std::move(idle_.back());
  idle_.pop_back();
  return Lease(*this, std::move(connection));
}

void ReaderPool::GiveBack(std::unique_ptr<SqliteConnection> connection) {
  {
    MutexLock lock(mu_);
    idle_.push_back(std::move(connection));
  }
  freed_.NotifyOne();
}

}  // namespace mezzo::drivers::internal
