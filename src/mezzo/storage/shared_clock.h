#pragma once

#include <atomic>
#include <cstdint>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage {

/// The clock of all hosts of one database: this host's, with the wall clock set to the database's. Leases are
/// times that another host compares with its own, so hosts whose clocks differ must agree on one.
///
/// SQLite runs on this host, and its clock is this host's. Thread-safe.
class SharedClock final : public Clock {
 public:
  /// Differs by nothing until Synchronise(). `local` outlives this.
  explicit SharedClock(const Clock& local) : local_(local) {}

  [[nodiscard]] TimePoint Now() const override { return local_.Now(); }
  [[nodiscard]] WallTime WallNow() const override;

  /// Asks `db` for its time: the answer with the shortest round trip of three, taken to be from its middle
  /// (Cristian 1989, "Probabilistic clock synchronization"). After a failure the last difference stays.
  /// Blocks.
  Result<void> Synchronise(SqlDb& db, TimePoint deadline);
  /// The database's wall clock less this host's.
  [[nodiscard]] Duration offset() const { return Duration(offset_.load(std::memory_order_relaxed)); }

 private:
  const Clock& local_;
  std::atomic<std::int64_t> offset_{0};  // One number; nothing else is published with it.
};

}  // namespace mezzo::storage
