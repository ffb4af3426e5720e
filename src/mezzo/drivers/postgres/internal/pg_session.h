#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/postgres/internal/pg_connection.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/storage/sql_failure.h"

namespace mezzo::drivers::internal {

/// One transaction on one connection. BEGIN travels with the first statement, notifications with COMMIT.
///
/// The server has limits of its own for when this client is gone: statement_timeout and
/// idle_in_transaction_session_timeout are the time until the deadline, rounded up to a power of two of
/// seconds, so that they seldom have to be set anew.
class PgSession final : public storage::SqlSession {
 public:
  enum class Access : std::uint8_t { kRead, kWrite };

  PgSession(PgConnection& connection, Access access, TimePoint deadline, const PgShared& shared)
      : connection_(connection), access_(access), deadline_(deadline), shared_(shared) {}

  Result<storage::SqlRows> Run(std::string_view sql, std::vector<storage::SqlValue> params) override;
  Result<std::vector<storage::SqlRows>> RunAll(std::span<const storage::SqlStatement> statements) override;
  Result<void> RunScript(std::string_view script) override;
  Result<void> Notify(storage::SqlNotification notification) override;

  /// Fails with "sql_commit_unknown" when the server did not say how it ended.
  Result<void> Commit();
  /// The whole transaction in one round trip.
  Result<std::vector<storage::SqlRows>> RunAllAndCommit(std::span<const storage::SqlStatement> statements);
  void RollBack();

  [[nodiscard]] const storage::SqlFailure& failure() const { return failure_; }
  /// Nothing was committed, and a second try may succeed.
  [[nodiscard]] bool may_try_again() const { return may_try_again_; }

 private:
  Result<std::vector<storage::SqlRows>> RunChecked(std::span<const storage::SqlStatement> statements,
                                                   bool commit);
  Result<std::vector<storage::SqlRows>> Exchange(std::span<const PgCommand> commands, bool commit);
  Result<void> RunScriptChecked(std::string_view script);
  Result<void> AddNotification(const storage::SqlNotification& notification);
  [[nodiscard]] Result<void> CheckStillOpen(std::string_view sql) const;
  /// What opens the transaction, unless it is open.
  [[nodiscard]] std::vector<PgCommand> Opening();
  [[nodiscard]] Error Judge(const PgReply& reply, bool commit_sent, bool in_commit);

  PgConnection& connection_;
  const Access access_;
  const TimePoint deadline_;
  const PgShared& shared_;
  storage::SqlFailure failure_;
  bool begun_ = false;
  bool may_try_again_ = false;
  Duration new_limit_{};
  std::vector<storage::SqlValue> limit_params_;
  std::vector<std::vector<storage::SqlValue>> notifications_;  // Parameters of pg_notify().
};

}  // namespace mezzo::drivers::internal
