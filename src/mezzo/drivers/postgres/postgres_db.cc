#include "mezzo/drivers/postgres/postgres_db.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/drivers/postgres/internal/pg_connection.h"
#include "mezzo/drivers/postgres/internal/pg_listener.h"
#include "mezzo/drivers/postgres/internal/pg_pool.h"
#include "mezzo/drivers/postgres/internal/pg_session.h"
#include "mezzo/drivers/postgres/internal/pg_target.h"
#include "mezzo/storage/sql_checks.h"
#include "mezzo/storage/sql_retry.h"

namespace mezzo::drivers {

using internal::PgPool;
using internal::PgSession;
using internal::PgShared;
using storage::SqlAttempt;
using storage::SqlNotification;
using storage::SqlRows;
using storage::SqlStatement;

namespace {

/// One try: `run` gets a new session and ends its transaction, unless it fails.
SqlAttempt Try(PgPool& pool, const PgShared& shared, PgSession::Access access, TimePoint deadline,
               const std::function<Result<void>(PgSession&)>& run) {
  auto lease = pool.Acquire(deadline);
  if (!lease.ok()) {
    const bool again = lease.error().reason() == "sql_unavailable";
    return {.result = std::move(lease).error(), .again = again};
  }
  PgSession session(lease->connection(), access, deadline, shared);
  SqlAttempt attempt{.result = run(session)};
  if (!attempt.result.ok()) {
    session.RollBack();
    attempt.again = session.may_try_again() || attempt.result.error().reason() == "sql_conflict";
  }
  return attempt;
}

}  // namespace

Result<std::unique_ptr<PostgresDb>> PostgresDb::Open(const Options& options, const Clock& clock) {
  MEZZO_TRY(auto target, internal::PgTarget::Parse(options.connection, options.password));
  std::unique_ptr<PgShared> shared(new PgShared{.target = std::move(target),
                                                .max_statements = options.max_statements,
                                                .connect_timeout = options.connect_timeout,
                                                .cancel_grace = options.cancel_grace,
                                                .clock = clock});
  return std::unique_ptr<PostgresDb>(new PostgresDb(options, std::move(shared)));
}

PostgresDb::PostgresDb(const Options& options, std::unique_ptr<PgShared> shared)
    : max_transaction_time_(options.max_transaction_time),
      shared_(std::move(shared)),
      pool_(std::make_unique<PgPool>(PgPool::Options{.max_connections = options.max_connections,
                                                     .idle_timeout = options.idle_timeout,
                                                     .max_lifetime = options.max_lifetime},
                                     *shared_)),
      listener_(std::make_unique<internal::PgListener>(*shared_)) {}

PostgresDb::~PostgresDb() = default;

TimePoint PostgresDb::Limit(TimePoint deadline) const {
  return std::min(deadline, AddSaturating(shared_->clock.Now(), max_transaction_time_));
}

Result<void> PostgresDb::Transact(const Work& work, TimePoint deadline) {
  deadline = Limit(deadline);
  const auto run = [&](PgSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.failure().Outcome(work(session)));
    return session.Commit();
  };
  return storage::RetrySql(shared_->clock, deadline,
                           [&] { return Try(*pool_, *shared_, PgSession::Access::kWrite, deadline, run); });
}

Result<std::vector<SqlRows>> PostgresDb::TransactAll(std::span<const SqlStatement> statements,
                                                     std::span<const SqlNotification> notifications,
                                                     TimePoint deadline) {
  deadline = Limit(deadline);
  std::vector<SqlRows> rows;
  const auto run = [&](PgSession& session) -> Result<void> {
    for (const SqlNotification& notification : notifications) MEZZO_TRY_VOID(session.Notify(notification));
    MEZZO_TRY(rows, session.RunAllAndCommit(statements));
    return {};
  };
  MEZZO_TRY_VOID(storage::RetrySql(shared_->clock, deadline, [&] {
    return Try(*pool_, *shared_, PgSession::Access::kWrite, deadline, run);
  }));
  return rows;
}

Result<void> PostgresDb::Read(const Work& work, TimePoint deadline) {
  deadline = Limit(deadline);
  const auto run = [&](PgSession& session) -> Result<void> {
    MEZZO_TRY_VOID(session.failure().Outcome(work(session)));
    session.RollBack();  // There is nothing to commit.
    return {};
  };
  return storage::RetrySql(shared_->clock, deadline,
                           [&] { return Try(*pool_, *shared_, PgSession::Access::kRead, deadline, run); });
}

std::shared_ptr<void> PostgresDb::Listen(std::string channel, Listener listener) {
  MEZZO_CHECK(storage::IsSqlChannel(channel));  // Names of channels stand in code.
  return listener_->Listen(std::move(channel), std::move(listener));
}

PostgresDb::Counts PostgresDb::counts() const {
  return {.connects = shared_->connects.load(std::memory_order_relaxed),
          .round_trips = shared_->round_trips.load(std::memory_order_relaxed),
          .cancels = shared_->canceller.cancels()};
}

}  // namespace mezzo::drivers
