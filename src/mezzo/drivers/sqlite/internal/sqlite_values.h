#pragma once

#include <sqlite3.h>

#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers::internal {

/// Binds without copying texts and blobs: `value` must live while the statement runs. Arrays are bound as
/// JSON texts for json_each(). Returns SQLite's result code.
int BindSqliteValue(sqlite3_stmt* statement, int position, const storage::SqlValue& value);

storage::SqlValue ReadSqliteColumn(sqlite3_stmt* statement, int column);

}  // namespace mezzo::drivers::internal
