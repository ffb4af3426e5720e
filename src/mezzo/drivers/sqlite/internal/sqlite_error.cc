#include "mezzo/drivers/sqlite/internal/sqlite_error.h"

#include <string>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::size_t kMaxShownSql = 160;

std::string Message(sqlite3* db) { return "SQLite: " + std::string(sqlite3_errmsg(db)); }

std::string Message(sqlite3* db, std::string_view sql) {
  return Message(db) + " in '" + Printable(sql, kMaxShownSql) + "'";
}

bool IsUnique(int extended) {
  return extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
         extended == SQLITE_CONSTRAINT_ROWID;
}

}  // namespace

Error SqliteError(sqlite3* db, std::string_view sql) {
  const int extended = sqlite3_extended_errcode(db);
  switch (extended & 0xff) {
    case SQLITE_CONSTRAINT:
      if (IsUnique(extended)) return AlreadyExists("sql_unique", Message(db, sql));
      return FailedPrecondition("sql_constraint", Message(db, sql));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kAborted, "sql_conflict", Message(db, sql)};
    case SQLITE_INTERRUPT:
      return DeadlineExceeded("sql_timeout",
                              "SQLite: the deadline passed in '" + Printable(sql, kMaxShownSql) + "'");
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_PROTOCOL:
      return Unavailable("sql_unavailable", Message(db, sql));
    case SQLITE_READONLY:
      // Of a connection that may write it is the file that can't be written; a reading one is told so by
      // query_only.
      if (sqlite3_db_readonly(db, "main") != 0 || extended != SQLITE_READONLY) {
        return Unavailable("sql_unavailable", Message(db, sql));
      }
      return Internal("sql_failed", Message(db, sql));
    default:
      return Internal("sql_failed", Message(db, sql));
  }
}

Error SqliteCommitError(sqlite3* db) {
  if ((sqlite3_extended_errcode(db) & 0xff) == SQLITE_IOERR) {
    return Unavailable("sql_commit_unknown", Message(db) + " in COMMIT: it may or may not survive a crash");
  }
  return SqliteError(db, "COMMIT");
}

}  // namespace mezzo::drivers::internal
