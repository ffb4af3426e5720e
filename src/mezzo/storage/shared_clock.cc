#include "mezzo/storage/shared_clock.h"

#include <chrono>

namespace mezzo::storage {
namespace {

constexpr int kQuestions = 3;
constexpr std::string_view kNow = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

}  // namespace

WallTime SharedClock::WallNow() const { return local_.WallNow() + offset(); }

Result<void> SharedClock::Synchronise(SqlDb& db, TimePoint deadline) {
  if (db.dialect() == SqlDialect::kSqlite) return {};
  Duration shortest = Duration::max();
  Duration difference{};
  const auto ask = [&](SqlSession& session) -> Result<void> {
    for (int i = 0; i < kQuestions; ++i) {
      const WallTime asked_at = local_.WallNow();
      const TimePoint asked = local_.Now();
      MEZZO_TRY(const SqlRows rows, session.Run(kNow, {}));
      const Duration round_trip = local_.Now() - asked;
      if (round_trip >= shortest) continue;
      shortest = round_trip;
      difference = WallTime(std::chrono::microseconds(rows.Int(0, 0))) - (asked_at + round_trip / 2);
    }
    return {};
  };
  MEZZO_TRY_VOID(db.Read(ask, deadline));
  offset_.store(difference.count(), std::memory_order_relaxed);
  return {};
}

}  // namespace mezzo::storage
