#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers {

namespace internal {
class PgListener;
class PgPool;
struct PgShared;
}  // namespace internal

/// A PostgreSQL database (13 or newer). Thread-safe.
///
/// Transactions are READ COMMITTED, Read() is REPEATABLE READ READ ONLY. Needs sessions of its own: a pooler
/// in between must not share them between transactions.
class PostgresDb final : public storage::SqlDb {
 public:
  struct Options {
    std::string connection;            ///< URL (postgresql://...) or keywords (host=...), as libpq documents.
    std::string password;              ///< When not empty, instead of the one in `connection`.
    std::size_t max_connections = 16;  ///< And one more while anybody listens.
    std::size_t max_statements = 256;  ///< Prepared and kept, per connection.
    Duration connect_timeout = std::chrono::seconds(5);
    Duration idle_timeout = std::chrono::minutes(5);           ///< Unused connections are closed.
    Duration max_lifetime = std::chrono::minutes(30);          ///< Of a connection.
    Duration max_transaction_time = std::chrono::minutes(10);  ///< Also when the caller's deadline is later.
    Duration cancel_grace = std::chrono::seconds(1);  ///< For the server to confirm after a deadline.
  };
  /// Checks the connection string; connects only when needed. `clock` must be real and outlive the database.
  /// Fails with kInvalidArgument "sql_bad_connection".
  static Result<std::unique_ptr<PostgresDb>> Open(const Options& options, const Clock& clock);
  /// No call may run. May wait for a cancel request that is being sent.
  ~PostgresDb() override;

  [[nodiscard]] storage::SqlDialect dialect() const override { return storage::SqlDialect::kPostgres; }
  Result<void> Transact(const Work& work, TimePoint deadline) override;
  Result<std::vector<storage::SqlRows>> TransactAll(std::span<const storage::SqlStatement> statements,
                                                    std::span<const storage::SqlNotification> notifications,
                                                    TimePoint deadline) override;
  Result<void> Read(const Work& work, TimePoint deadline) override;
  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, Listener listener) override;

  struct Counts {
    std::uint64_t connects = 0;
    std::uint64_t round_trips = 0;
    std::uint64_t cancels = 0;
  };
  [[nodiscard]] Counts counts() const;

 private:
  PostgresDb(const Options& options, std::unique_ptr<internal::PgShared> shared);
  [[nodiscard]] TimePoint Limit(TimePoint deadline) const;

  const Duration max_transaction_time_;
  const std::unique_ptr<internal::PgShared> shared_;
  const std::unique_ptr<internal::PgPool> pool_;
  const std::unique_ptr<internal::PgListener> listener_;
};

}  // namespace mezzo::drivers
