#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Keeps the tables of the queue small: deletes what has ended long ago, a bounded number of rows in each
/// transaction, so that nobody waits for it.
///
/// On PostgreSQL it also makes the partitions of `jobs`, a month each, for this month and the next, and drops
/// those whose jobs have all ended long ago. Each step is one transaction; every host may do it at any time.
/// Blocks. Thread-safe.
class QueuePruner {
 public:
  struct Options {
    Duration job_retention = std::chrono::hours(24 * 30);     ///< After its end.
    Duration usage_retention = std::chrono::hours(24 * 400);  ///< After the end of the attempt.
    std::size_t rows = 500;                                   ///< At most, of each table in a transaction.
  };
  /// Both outlive the pruner.
  QueuePruner(Options options, storage::SqlDb& db, const Clock& clock);

  struct Pruned {
    std::size_t jobs = 0;  ///< Rows; not those of a dropped partition.
    std::size_t keys = 0;  ///< Idempotency keys whose time is over.
    std::size_t usage = 0;
    std::size_t partitions_made = 0;
    std::size_t partitions_dropped = 0;
    bool more = false;  ///< There may be further rows to delete.
  };
  Result<Pruned> Prune(TimePoint deadline);

 private:
  Result<void> MakePartitions(Pruned& pruned, TimePoint deadline);
  Result<void> DropPartitions(Pruned& pruned, TimePoint deadline);
  Result<std::size_t> Delete(std::string_view sql, std::vector<storage::SqlValue> params, TimePoint deadline);

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::jobs
