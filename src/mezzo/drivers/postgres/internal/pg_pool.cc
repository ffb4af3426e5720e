#include "mezzo/drivers/postgres/internal/pg_pool.h"

#include <string>

namespace mezzo::drivers::internal {

Result<PgPool::ConnectionPtr> PgPool::Take(TimePoint deadline) {
  MutexLock lock(mu_);
  while (idle_.empty() && open_ >= options_.max_connections) {
    if (!freed_.WaitUntil(mu_, deadline) && idle_.empty() && open_ >= options_.max_connections) {
      return DeadlineExceeded("sql_timeout", "PostgreSQL: none of " +
                                                 std::to_string(options_.max_connections) +
                                                 " connections became free in time");
    }
  }
  if (idle_.empty()) {
    ++open_;
    return ConnectionPtr();
  }
  ConnectionPtr connection = std::move(idle_.back().connection);
  idle_.pop_back();
  return connection;
}

Result<PgPool::Lease> PgPool::Acquire(TimePoint deadline) {
  while (true) {
    MEZZO_TRY(ConnectionPtr connection, Take(deadline));
    if (connection == nullptr) {
      auto made = PgConnection::Connect(shared_, deadline);
      if (made.ok()) return Lease(*this, *std::move(made));
      CountClosed(1);
      return std::move(made).error();
    }
    if (connection->IsReusable()) return Lease(*this, std::move(connection));
    connection.reset();
    CountClosed(1);
  }
}

void PgPool::GiveBack(ConnectionPtr connection) {
  const TimePoint now = shared_.clock.Now();
  std::vector<ConnectionPtr> closed;  // Outside the lock: closing tells the server.
  if (now - connection->connected_at() >= options_.max_lifetime || !connection->IsReusable()) {
    closed.push_back(std::move(connection));
  }
  {
    MutexLock lock(mu_);
    if (connection != nullptr) idle_.push_back({.connection = std::move(connection), .since = now});
    while (!idle_.empty() && now - idle_.front().since >= options_.idle_timeout) {
      closed.push_back(std::move(idle_.front().connection));
      idle_.pop_front();
    }
  }
  freed_.NotifyOne();
  const std::size_t count = closed.size();
  closed.clear();
  if (count > 0) CountClosed(count);
}

void PgPool::CountClosed(std::size_t count) {
  {
    MutexLock lock(mu_);
    open_ -= count;
  }
  freed_.NotifyAll();
}

}  // namespace mezzo::drivers::internal
