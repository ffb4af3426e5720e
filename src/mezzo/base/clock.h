#pragma once

#include <chrono>
#include <cstdint>

namespace mezzo {

using Duration = std::chrono::nanoseconds;

/// A point on the monotonic clock. Comparable only within one process.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

/// A point on the wall clock, nanoseconds since the Unix epoch.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

/// "No deadline": later than every real time point, and safe to subtract real ones from.
inline constexpr TimePoint kNever = TimePoint(std::chrono::nanoseconds(INT64_MAX / 2));

/// Time as a dependency: nothing but RealClock reads the system's clocks. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint Now() const = 0;
  [[nodiscard]] virtual WallTime WallNow() const = 0;
};

/// CLOCK_MONOTONIC and CLOCK_REALTIME.
class RealClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override;
  [[nodiscard]] WallTime WallNow() const override;
};

/// Seconds as a floating number, for metrics and messages.
inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The reverse of Seconds(); saturates at the range of Duration, and a NaN is zero.
inline Duration FromSeconds(double seconds) {
  constexpr double kLimit = 4.0e9;
  if (!(seconds == seconds)) return Duration::zero();
  if (seconds > kLimit) seconds = kLimit;
  if (seconds < -kLimit) seconds = -kLimit;
  return Duration(static_cast<std::int64_t>(seconds * 1e9));
}

/// `start + duration`, saturating at kNever.
inline TimePoint AddSaturating(TimePoint start, Duration duration) {
  if (start >= kNever || duration >= kNever - start) return kNever;
  return start + duration;
}

}  // namespace mezzo
