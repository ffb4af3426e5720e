#pragma once

#include <atomic>

#include "mezzo/base/clock.h"

namespace mezzo::testing {

/// A clock that moves only when told to. Thread-safe.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return TimePoint(Duration(now_.load())); }
  [[nodiscard]] WallTime WallNow() const override { return WallTime(Duration(kWallStart + now_.load())); }

  void Advance(Duration duration) { now_.fetch_add(duration.count()); }
  /// Moves to `time`, which must not lie in the past.
  void SetTo(TimePoint time) { now_.store(time.time_since_epoch().count()); }

 private:
  static constexpr std::int64_t kWallStart = 1'700'000'000'000'000'000;  // 2023-11-14T22:13:20Z
  std::atomic<std::int64_t> now_{1'000'000'000};  // Shared by test threads; no partner.
};

}  // namespace mezzo::testing
