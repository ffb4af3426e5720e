#pragma once

#include <span>
#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage {

/// What every driver checks before it talks to its database, so that all refuse the same.

/// Texts must be UTF-8 without NUL, numbers not NaN (SQLite would store NULL). Fails with kInvalidArgument
/// "sql_bad_value", naming the parameter.
Result<void> CheckSqlParams(std::span<const SqlValue> params);

/// 1 to 63 of [a-z0-9_], not starting with a digit.
bool IsSqlChannel(std::string_view name);

/// Fails with kInvalidArgument "sql_bad_notification".
Result<void> CheckSqlNotification(const SqlNotification& notification);

}  // namespace mezzo::storage
