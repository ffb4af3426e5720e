#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/ledger/usage_record.h"

namespace mezzo::tenancy {

inline constexpr std::int64_t kHourUs = 3'600'000'000;
inline constexpr std::int64_t kDayUs = 24 * kHourUs;

/// When the span of `span_us` that `us` lies in began.
constexpr std::int64_t StartOf(std::int64_t us, std::int64_t span_us) {
  const std::int64_t rest = us % span_us;
  return us - (rest < 0 ? rest + span_us : rest);
}

/// Usage in the database, by hour and by day. Blocks. Thread-safe; many hosts share one database.
/// Errors: SqlDb's.
class UsageStore {
 public:
  /// `db` outlives the store.
  explicit UsageStore(storage::SqlDb& db) : db_(db) {}

  /// Adds the records of `epoch`, in the order of their numbers, to both tables and notes the last number, in
  /// one transaction. Records that were added before are passed over: doing it again after an unknown
  /// outcome counts nothing twice.
  Result<void> Post(const std::string& epoch, std::span<const UsageRecord* const> records, WallTime now,
                    TimePoint deadline);
  /// Forgets hours that began before `before_us` (days stay), and epochs that ended `epochs_before_us`.
  Result<void> Prune(std::int64_t before_us, std::int64_t epochs_before_us, TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

/// Which rows to add up, and by what.
struct UsageQuery {
  bool by_hour = false;      ///< Else by day.
  std::int64_t from_us = 0;  ///< Unix time; spans that began at or after it.
  std::int64_t to_us = 0;    ///< And before it.
  /// By position of kKeyNames: kept apart in the answer.
  std::set<std::size_t> group;
  /// By position of kKeyNames: only this.
  std::map<std::size_t, std::string> only;
  std::size_t max_rows = 50'000;  ///< More fail with "usage_too_much".
};

/// One sum. `key` has what was grouped by; the rest is empty.
struct UsageRow {
  std::int64_t start_us = 0;
  UsageKey key;
  Usage usage;
};

/// Reads usage. Blocks. Thread-safe.
class UsageReader {
 public:
  /// `db` outlives the reader.
  explicit UsageReader(storage::SqlDb& db) : db_(db) {}

  /// In the order of time and key. Errors: kInvalidArgument "usage_too_much"; SqlDb's.
  Result<std::vector<UsageRow>> Read(const UsageQuery& query, TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

}  // namespace mezzo::tenancy
