#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sqlite3.h>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/lru_map.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers::internal {

/// One SQLite connection with its prepared statements. Used by one thread at a time.
class SqliteConnection {
 public:
  struct Options {
    std::string path;  ///< Absolute.
    std::string vfs;   ///< Empty: SQLite's default.
    bool read_only = false;
    std::size_t max_statements = 128;
    Duration busy_timeout = std::chrono::seconds(5);  ///< How long to wait for another process's lock.
  };
  /// Creates the file (mode 0600) when there is none and it may write. Sets WAL mode, synchronous FULL and
  /// the rest. Fails with kUnavailable "sql_unavailable".
  static Result<std::unique_ptr<SqliteConnection>> Open(Options options, const Clock& clock);
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  /// Statements end with "sql_timeout" after `deadline`. SQLite rolls the whole transaction back when that
  /// happens in the middle of a write.
  void SetDeadline(TimePoint deadline) { deadline_ = deadline; }

  /// A statement of a transaction's work: transaction control, PRAGMA and ATTACH are refused.
  Result<storage::SqlRows> Run(std::string_view sql, const std::vector<storage::SqlValue>& params);
  Result<void> RunScript(std::string_view script);

  enum class Control : std::uint8_t { kBegin, kSavepoint, kRelease, kRollbackTo, kRollback, kCommit };
  /// kBegin takes the write lock at once on a connection that may write.
  Result<void> Do(Control control);

  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  [[nodiscard]] std::size_t cached_statements() const { return cache_.size(); }

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using StatementPtr = std::unique_ptr<sqlite3_stmt, Finalizer>;
  struct Prepared {
    StatementPtr statement;
    std::vector<std::size_t> numbers;  ///< The n of the parameter "$n" at each position of SQLite's.
    std::size_t highest = 0;           ///< The largest n.
  };
  static constexpr std::size_t kControls = 6;

  SqliteConnection(sqlite3* db, Options options, const Clock& clock);
  Result<void> Configure();
  Result<void> Pragma(const char* sql, std::string_view expected = {});
  Result<Prepared> Prepare(std::string_view sql) const;
  Result<Prepared*> Cached(std::string_view sql);
  Result<storage::SqlRows> Step(sqlite3_stmt* statement, std::string_view sql);
  Result<void> CheckDeadline(std::string_view sql) const;
  [[nodiscard]] Error Failure(std::string_view sql) const;

  static int OnProgress(void* self);
  static int OnBusy(void* self, int calls);
  static int Authorize(void* self, int action, const char*, const char*, const char*, const char*);

  sqlite3* const db_;
  const Options options_;
  const Clock& clock_;
  TimePoint deadline_ = kNever;
  TimePoint busy_until_ = kNever;
  bool controlling_ = false;  ///< Transaction control is allowed: it is ours.
  std::array<StatementPtr, kControls> controls_;
  storage::LruMap<Prepared> cache_;
};

}  // namespace mezzo::drivers::internal
