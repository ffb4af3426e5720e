#pragma once

#include <string_view>

#include <sqlite3.h>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// The Error for a failed call (result codes: sqlite.org/rescode.html), with SQLite's own message and `sql`,
/// whose text holds no values. The kinds are those of storage::SqlSession.
Error SqliteError(sqlite3* db, std::string_view sql);

/// Likewise, of a COMMIT: when writing or syncing failed, what is on disk is unknown until the next commit
/// overwrites it.
Error SqliteCommitError(sqlite3* db);

}  // namespace mezzo::drivers::internal
