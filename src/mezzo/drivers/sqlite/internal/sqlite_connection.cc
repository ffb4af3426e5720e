#include "mezzo/drivers/sqlite/internal/sqlite_connection.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/sqlite/internal/sqlite_error.h"
#include "mezzo/drivers/sqlite/internal/sqlite_values.h"

namespace mezzo::drivers::internal {
namespace {

using storage::SqlRows;
using storage::SqlValue;

constexpr int kOpsBetweenChecks = 2000;  // Some tens of microseconds of SQLite's virtual machine.
constexpr Duration kBusyPause = std::chrono::milliseconds(2);

/// SQLite would create it readable for everyone.
Result<void> CreateFile(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) {
    ::close(file);
  } else if (errno != EEXIST) {
    return Unavailable("sql_unavailable", "SQLite: can't create '" + Printable(path) +
                                              "': " + std::generic_category().message(errno));
  }
  return {};
}

/// After the one statement of a text.
bool IsBlank(std::string_view tail) { return tail.find_first_not_of(" \t\r\n;") == std::string_view::npos; }

}  // namespace

Result<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(Options options, const Clock& clock) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (!options.read_only) {
    flags |= SQLITE_OPEN_CREATE;
    MEZZO_TRY_VOID(CreateFile(options.path));
  }
  sqlite3* db = nullptr;
  const int opened =
      sqlite3_open_v2(options.path.c_str(), &db, flags, options.vfs.empty() ? nullptr : options.vfs.c_str());
  MEZZO_CHECK(db != nullptr);
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(db, std::move(options), clock));
  if (opened != SQLITE_OK) {
    return SqliteError(db, "open").WithContext("'" + Printable(connection->options_.path) + "'");
  }
  MEZZO_TRY_VOID(connection->Configure());
  return connection;
}

SqliteConnection::SqliteConnection(sqlite3* db, Options options, const Clock& clock)
    : db_(db), options_(std::move(options)), clock_(clock), cache_(options_.max_statements) {}

SqliteConnection::~SqliteConnection() {
  cache_.Clear();
  for (StatementPtr& statement : controls_) statement.reset();
  sqlite3_close(db_);
}

Result<void> SqliteConnection::Configure() {
  sqlite3_busy_handler(db_, &SqliteConnection::OnBusy, this);
  sqlite3_progress_handler(db_, kOpsBetweenChecks, &SqliteConnection::OnProgress, this);
  // A schema that was tampered with can't run functions, and "x" is never a string, as in PostgreSQL.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  if (!options_.read_only) {
    MEZZO_TRY_VOID(Pragma("PRAGMA journal_mode=WAL", "wal"));
    MEZZO_TRY_VOID(Pragma("PRAGMA journal_size_limit=67108864"));
  }
  MEZZO_TRY_VOID(Pragma("PRAGMA synchronous=FULL"));
  MEZZO_TRY_VOID(Pragma("PRAGMA foreign_keys=ON"));
  MEZZO_TRY_VOID(Pragma("PRAGMA case_sensitive_like=ON"));  // As in PostgreSQL.
  MEZZO_TRY_VOID(Pragma("PRAGMA temp_store=MEMORY"));
  if (options_.read_only) MEZZO_TRY_VOID(Pragma("PRAGMA query_only=ON"));

  constexpr std::array<std::string_view, kControls> kTexts = {
      "BEGIN IMMEDIATE", "SAVEPOINT work", "RELEASE work", "ROLLBACK TO work", "ROLLBACK", "COMMIT"};
  for (std::size_t i = 0; i < kControls; ++i) {
    MEZZO_TRY(Prepared prepared, Prepare(i == 0 && options_.read_only ? "BEGIN" : kTexts[i]));
    controls_[i] = std::move(prepared.statement);
  }
  sqlite3_set_authorizer(db_, &SqliteConnection::Authorize, this);
  return {};
}

Result<void> SqliteConnection::Pragma(const char* sql, std::string_view expected) {
  MEZZO_TRY(const Prepared prepared, Prepare(sql));
  MEZZO_TRY(const SqlRows rows, Step(prepared.statement.get(), sql));
  if (!expected.empty() && (rows.empty() || rows.Text(0, 0) != expected)) {
    return Unavailable("sql_unavailable", "SQLite: '" + std::string(sql) + "' has no effect on '" +
                                              Printable(options_.path) + "'");
  }
  return {};
}

Result<SqliteConnection::Prepared> SqliteConnection::Prepare(std::string_view sql) const {
  const char* tail = nullptr;
  sqlite3_stmt* statement = nullptr;
  const int done = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, &tail);
  Prepared prepared{.statement = StatementPtr(statement), .numbers = {}};
  if (done != SQLITE_OK) return Failure(sql);
  if (statement == nullptr || !IsBlank(sql.substr(static_cast<std::size_t>(tail - sql.data())))) {
    return Internal("sql_failed", "'" + Printable(sql) + "' is not one statement");
  }
  const int count = sqlite3_bind_parameter_count(statement);
  for (int i = 1; i <= count; ++i) {
    const char* name = sqlite3_bind_parameter_name(statement, i);
    const auto number = name != nullptr && name[0] == '$' ? ParseUint(name + 1) : std::nullopt;
    if (!number || *number == 0) {
      return Internal("sql_failed", "'" + Printable(sql) + "' has a parameter that is not $1, $2, ...");
    }
    prepared.numbers.push_back(*number);
    prepared.highest = std::max<std::size_t>(prepared.highest, *number);
  }
  return prepared;
}

Result<SqliteConnection::Prepared*> SqliteConnection::Cached(std::string_view sql) {
  if (Prepared* known = cache_.Find(sql)) return known;
  MEZZO_TRY(Prepared prepared, Prepare(sql));
  (void)cache_.MakeRoom();
  return &cache_.Insert(sql, std::move(prepared));
}

Result<SqlRows> SqliteConnection::Run(std::string_view sql, const std::vector<SqlValue>& params) {
  MEZZO_TRY_VOID(CheckDeadline(sql));
  MEZZO_TRY(Prepared* const prepared, Cached(sql));
  if (prepared->highest != params.size()) {
    return Internal("sql_failed", "'" + Printable(sql) + "' has " + std::to_string(prepared->highest) +
                                      " parameters, not " + std::to_string(params.size()));
  }
  sqlite3_stmt* statement = prepared->statement.get();
  for (std::size_t i = 0; i < prepared->numbers.size(); ++i) {
    // Texts and blobs are not copied: they live as long as the statement runs.
    if (BindSqliteValue(statement, static_cast<int>(i) + 1, params[prepared->numbers[i] - 1]) != SQLITE_OK) {
      Error error = Failure(sql);
      sqlite3_clear_bindings(statement);
      return error;
    }
  }
  Result<SqlRows> rows = Step(statement, sql);
  sqlite3_clear_bindings(statement);
  return rows;
}

Result<SqlRows> SqliteConnection::Step(sqlite3_stmt* statement, std::string_view sql) {
  const std::int64_t before = sqlite3_total_changes64(db_);
  int columns = 0;
  std::vector<SqlValue> values;
  int step = SQLITE_ROW;
  while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
    columns = sqlite3_column_count(statement);  // The first step prepares again after a change of the schema.
    for (int i = 0; i < columns; ++i) values.push_back(ReadSqliteColumn(statement, i));
  }
  if (step != SQLITE_DONE) {
    Error error = Failure(sql);
    sqlite3_reset(statement);
    return error;
  }
  sqlite3_reset(statement);
  // sqlite3_changes64() keeps its value over statements that change nothing.
  const std::int64_t affected = sqlite3_total_changes64(db_) == before ? 0 : sqlite3_changes64(db_);
  return SqlRows(static_cast<std::size_t>(columns), std::move(values), affected);
}

Result<void> SqliteConnection::RunScript(std::string_view script) {
  while (!IsBlank(script)) {
    MEZZO_TRY_VOID(CheckDeadline(script));
    const char* tail = nullptr;
    sqlite3_stmt* raw = nullptr;
    const int done = sqlite3_prepare_v3(db_, script.data(), static_cast<int>(script.size()), 0, &raw, &tail);
    const StatementPtr statement(raw);
    if (done != SQLITE_OK) return Failure(script);
    if (raw == nullptr) break;  // Only a comment was left.
    MEZZO_TRY_VOID(Step(raw, script));
    script.remove_prefix(static_cast<std::size_t>(tail - script.data()));
  }
  return {};
}

Result<void> SqliteConnection::Do(Control control) {
  sqlite3_stmt* statement = controls_[static_cast<std::size_t>(control)].get();
  controlling_ = true;  // Also while it runs: SQLite prepares it again after the schema has changed.
  const int done = sqlite3_step(statement);
  controlling_ = false;
  Result<void> result;
  if (done != SQLITE_DONE) {
    result = control == Control::kCommit ? SqliteCommitError(db_) : Failure(sqlite3_sql(statement));
  }
  sqlite3_reset(statement);
  return result;
}

Result<void> SqliteConnection::CheckDeadline(std::string_view sql) const {
  if (clock_.Now() < deadline_) return {};
  return DeadlineExceeded("sql_timeout", "SQLite: the deadline had passed before '" + Printable(sql) + "'");
}

Error SqliteConnection::Failure(std::string_view sql) const {
  Error error = SqliteError(db_, sql);
  // Waiting for a lock ends at the deadline too.
  if (error.reason() == "sql_conflict") {
    if (auto in_time = CheckDeadline(sql); !in_time.ok()) return std::move(in_time).error();
  }
  return error;
}

int SqliteConnection::OnProgress(void* self) {
  const auto& connection = *static_cast<SqliteConnection*>(self);
  return connection.deadline_ != kNever && connection.clock_.Now() >= connection.deadline_ ? 1 : 0;
}

int SqliteConnection::OnBusy(void* self, int calls) {
  auto& connection = *static_cast<SqliteConnection*>(self);
  const TimePoint now = connection.clock_.Now();
  if (calls == 0) {
    connection.busy_until_ =
        std::min(connection.deadline_, AddSaturating(now, connection.options_.busy_timeout));
  }
  if (now >= connection.busy_until_) return 0;
  std::this_thread::sleep_for(kBusyPause);
  return 1;
}

int SqliteConnection::Authorize(void* self, int action, const char*, const char*, const char*, const char*) {
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return static_cast<SqliteConnection*>(self)->controlling_ ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_PRAGMA:
      return SQLITE_DENY;
    default:
      return SQLITE_OK;
  }
}

}  // namespace mezzo::drivers::internal
