#pragma once

#include <memory>
#include <string>

#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/shared_clock.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::app {

/// What this server keeps: the folder `data_dir` (mode 0700, locked against a second server), and the
/// database, brought up to date: PostgreSQL when `database.url` is set, else SQLite in the folder.
class DataStore {
 public:
  /// Makes the folder when there is none. Fails with kFailedPrecondition "data_dir_in_use" when another
  /// server has it, kUnavailable "data_dir" when it can't be made or opened, and with the database's errors.
  static Result<std::unique_ptr<DataStore>> Open(const std::string& folder, const DatabaseConfig& database);
  ~DataStore();
  DataStore(const DataStore&) = delete;
  DataStore& operator=(const DataStore&) = delete;

  [[nodiscard]] storage::SqlDb& db() { return metered_ == nullptr ? *db_ : *metered_; }
  /// Counts the calls of whoever asks for db() from now on. Once; the registry outlives those calls.
  void Meter(observe::Registry& registry);
  /// The clock of all hosts of the database.
  [[nodiscard]] storage::SharedClock& clock() { return clock_; }

 private:
  explicit DataStore(int lock) : lock_(lock) {}

  const int lock_;  // Holds the folder's lock until it is closed.
  RealClock real_;
  storage::SharedClock clock_{real_};
  std::unique_ptr<storage::SqlDb> db_;
  std::unique_ptr<storage::SqlDb> metered_;  // Null until there is a registry.
};

}  // namespace mezzo::app
