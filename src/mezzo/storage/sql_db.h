#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::storage {

/// Which SQL a database speaks, for the few statements that one schema can't share.
enum class SqlDialect : std::uint8_t { kSqlite, kPostgres };

/// Bytes of a column of type BLOB (SQLite) or BYTEA (PostgreSQL).
struct SqlBlob {
  std::string bytes;
  friend bool operator==(const SqlBlob&, const SqlBlob&) = default;
};

/// A parameter or a column. Texts are UTF-8 without NUL. Times are integers, microseconds since the Unix
/// epoch; truth values are read as 0 and 1. Arrays are parameters only: SQLite gets them as a JSON text for
/// json_each($n), PostgreSQL as bigint[] or text[] for unnest($n).
using SqlValue = std::variant<std::monostate, std::int64_t, double, std::string, SqlBlob,
                              std::vector<std::int64_t>, std::vector<std::string>>;

/// The rows of one statement, all in memory: statements carry a LIMIT. Reading a column as what it is not, or
/// out of range, aborts: statements and the code that reads them are written together.
class SqlRows {
 public:
  SqlRows() = default;
  /// `values` row after row, `columns` in each.
  SqlRows(std::size_t columns, std::vector<SqlValue> values, std::int64_t affected);

  [[nodiscard]] std::size_t size() const { return columns_ == 0 ? 0 : values_.size() / columns_; }
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Rows that an INSERT, UPDATE or DELETE touched, with RETURNING too; 0 for others.
  [[nodiscard]] std::int64_t affected() const { return affected_; }

  [[nodiscard]] bool IsNull(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int64_t Int(std::size_t row, std::size_t column) const;
  [[nodiscard]] double Real(std::size_t row, std::size_t column) const;  ///< Of an integer too.
  [[nodiscard]] const std::string& Text(std::size_t row, std::size_t column) const;
  [[nodiscard]] const std::string& Blob(std::size_t row, std::size_t column) const;
  [[nodiscard]] const SqlValue& At(std::size_t row, std::size_t column) const;

 private:
  std::size_t columns_ = 0;
  std::vector<SqlValue> values_;  // Row after row.
  std::int64_t affected_ = 0;
};

/// One statement with its parameters $1, $2, ...; the text is prepared once per connection, so it must come
/// from a bounded set: values are parameters, never text.
struct SqlStatement {
  std::string_view sql;
  std::vector<SqlValue> params;
};

/// Wakes the listeners of `channel` on every host when its transaction commits. A channel is 1 to 63 of
/// [a-z0-9_], not starting with a digit; a payload is text of up to 4,000 bytes.
struct SqlNotification {
  std::string_view channel;
  std::string_view payload;
};

/// A transaction that is open. Lives on one thread, inside SqlDb::Transact() or SqlDb::Read().
///
/// After an error nothing more can be done in the transaction: later calls fail with "sql_failed", and so
/// does the transaction, with the first error, even when `work` returns success. Errors:
/// - kAlreadyExists "sql_unique": a unique constraint. PostgreSQL's message names it, SQLite's its columns.
/// - kFailedPrecondition "sql_constraint": another constraint; the message names it or its columns.
/// - kAborted "sql_conflict": serialization, deadlock, busy. Transact() tries again.
/// - kDeadlineExceeded "sql_timeout".
/// - kUnavailable "sql_unavailable": connection lost, disk full or read-only.
/// - kInvalidArgument "sql_bad_value": a parameter is NaN, or a text that is not UTF-8 or holds a NUL.
/// - kInternal "sql_failed": all else, mostly wrong statements.
class SqlSession {
 public:
  virtual ~SqlSession() = default;
  virtual Result<SqlRows> Run(std::string_view sql, std::vector<SqlValue> params) = 0;
  /// The statements in order, in one round trip where the database can (PostgreSQL's pipeline mode); stops at
  /// the first error.
  virtual Result<std::vector<SqlRows>> RunAll(std::span<const SqlStatement> statements) = 0;
  /// Several statements in one text, without parameters or rows. For migrations.
  virtual Result<void> RunScript(std::string_view script) = 0;
  /// Not inside Read(). Fails with kInvalidArgument "sql_bad_notification" when the channel or payload is not
  /// possible.
  virtual Result<void> Notify(SqlNotification notification) = 0;
};

/// A relational database. Blocks: for threads of a BlockingPool, never for a loop's. Thread-safe.
/// Every driver passes storage/testing/sql_db_suite.h.
///
/// Isolation: SQLite runs transactions one after the other. PostgreSQL runs them READ COMMITTED: each
/// statement sees what had been committed when it began. So what reads and then writes must guard the write
/// by what it read (UPDATE ... WHERE version = $2), or lock the rows where dialect() can (FOR UPDATE SKIP
/// LOCKED).
class SqlDb {
 public:
  /// Runs on the caller's thread or on one of the driver's while the caller waits. Must not call the database
  /// again, and has no effect outside the session that a second run would not overwrite.
  using Work = std::function<Result<void>(SqlSession&)>;
  using Listener = std::function<void(std::string_view payload)>;

  virtual ~SqlDb() = default;
  [[nodiscard]] virtual SqlDialect dialect() const = 0;

  /// Begins, runs `work`, commits; rolls back when it fails and returns its error. The whole is tried again,
  /// a few times with jitter until `deadline`, when the database says "sql_conflict" or the connection was
  /// lost before the commit. When it is lost during the commit, or `deadline` passes then, the outcome is
  /// unknown: kUnavailable "sql_commit_unknown", which is never retried here.
  virtual Result<void> Transact(const Work& work, TimePoint deadline) = 0;
  /// A transaction of statements that are known beforehand: one round trip where the database can. Rows of
  /// each statement. Errors and retries as Transact().
  virtual Result<std::vector<SqlRows>> TransactAll(std::span<const SqlStatement> statements,
                                                   std::span<const SqlNotification> notifications,
                                                   TimePoint deadline);
  /// As Transact(), for reading: sees one snapshot, never blocks or is blocked by writers. Writing fails with
  /// "sql_failed".
  virtual Result<void> Read(const Work& work, TimePoint deadline) = 0;

  /// Calls `listener` from a thread of the driver for every notification on `channel`, until the returned
  /// subscription dies (which waits for a running call, unless it dies in that call). An empty payload means
  /// that there may have been others: it comes once when listening has begun, and whenever notifications may
  /// have been lost (a connection that broke). Whoever listens also polls, seldom.
  [[nodiscard]] virtual std::shared_ptr<void> Listen(std::string channel, Listener listener) = 0;
};

}  // namespace mezzo::storage
