#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/drivers/sqlite/internal/sqlite_connection.h"
#include "mezzo/storage/local_notifier.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/storage/sql_failure.h"

namespace mezzo::drivers::internal {

/// What a transaction's work sees of a connection. Does not begin or end the transaction.
class SqliteSession final : public storage::SqlSession {
 public:
  /// A null `notifications` is one that reads.
  SqliteSession(SqliteConnection& connection, std::vector<storage::Notification>* notifications)
      : connection_(connection), notifications_(notifications) {}

  Result<storage::SqlRows> Run(std::string_view sql, std::vector<storage::SqlValue> params) override;
  Result<std::vector<storage::SqlRows>> RunAll(std::span<const storage::SqlStatement> statements) override;
  Result<void> RunScript(std::string_view script) override;
  Result<void> Notify(storage::SqlNotification notification) override;

  [[nodiscard]] const storage::SqlFailure& failure() const { return failure_; }

 private:
  Result<storage::SqlRows> RunChecked(std::string_view sql, const std::vector<storage::SqlValue>& params);
  Result<void> AddNotification(const storage::SqlNotification& notification);

  SqliteConnection& connection_;
  std::vector<storage::Notification>* const notifications_;
  storage::SqlFailure failure_;
};

}  // namespace mezzo::drivers::internal
