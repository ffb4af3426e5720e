#include "mezzo/drivers/sqlite/internal/sqlite_session.h"

#include "mezzo/storage/sql_checks.h"

namespace mezzo::drivers::internal {

using storage::SqlNotification;
using storage::SqlRows;
using storage::SqlStatement;
using storage::SqlValue;

Result<SqlRows> SqliteSession::RunChecked(std::string_view sql, const std::vector<SqlValue>& params) {
  MEZZO_TRY_VOID(failure_.Check());
  MEZZO_TRY_VOID(storage::CheckSqlParams(params));
  return connection_.Run(sql, params);
}

Result<SqlRows> SqliteSession::Run(std::string_view sql, std::vector<SqlValue> params) {
  return failure_.Note(RunChecked(sql, params));
}

Result<std::vector<SqlRows>> SqliteSession::RunAll(std::span<const SqlStatement> statements) {
  std::vector<SqlRows> all;
  all.reserve(statements.size());
  for (const SqlStatement& statement : statements) {
    MEZZO_TRY(SqlRows rows, failure_.Note(RunChecked(statement.sql, statement.params)));
    all.push_back(std::move(rows));
  }
  return all;
}

Result<void> SqliteSession::RunScript(std::string_view script) {
  MEZZO_TRY_VOID(failure_.Check());
  return failure_.Note(connection_.RunScript(script));
}

Result<void> SqliteSession::Notify(SqlNotification notification) {
  MEZZO_TRY_VOID(failure_.Check());
  return failure_.Note(AddNotification(notification));
}

Result<void> SqliteSession::AddNotification(const SqlNotification& notification) {
  if (notifications_ == nullptr) {
    return Internal("sql_failed",
                    "a transaction that reads can't notify '" + std::string(notification.channel) + "'");
  }
  MEZZO_TRY_VOID(storage::CheckSqlNotification(notification));
  notifications_->push_back({std::string(notification.channel), std::string(notification.payload)});
  return {};
}

}  // namespace mezzo::drivers::internal
