#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace mezzo::storage {

/// What the generic cell rate algorithm (ITU-T I.371, "virtual scheduling") computes with, in whole ticks of
/// one clock: n tokens cost ceil(n · T), T the ticks a token takes to come back, and may be taken while the
/// arrival time lies at most burst · ceil(T) ahead, so that `burst` tokens can be taken one by one as well.
/// Negative n give back floor(|n| · T).
///
/// Every rate limit of the project computes so: tenancy::Limiter in nanoseconds, every TokenStore in
/// microseconds (also Redis' script). Rounding takes up to one tick a take from the rate, never adds to it:
/// at high rates take from a TokenStore in batches.
struct GcraTicks {
  double period = 0;  ///< T.

  static GcraTicks Of(double per_second, double ticks_per_second) {
    return {.period = ticks_per_second / per_second};
  }
  [[nodiscard]] double Cost(double tokens) const { return std::ceil(tokens * period); }
  [[nodiscard]] double Tolerance(double burst) const { return std::ceil(burst * std::ceil(period)); }
};

/// A rate limit as every TokenStore computes it, so that their buckets agree: whole tokens, microseconds. A
/// bucket is one number, the theoretical arrival time: the time at which it will be full. Pure.
struct GcraLimit {
  double period = 0;  ///< T, microseconds a token.
  std::int64_t burst = 0;

  static constexpr double kTicksPerSecond = 1e6;
  static constexpr double kMaxSpan = 1e15;  ///< Microseconds; exact in a double, as Lua computes.

  [[nodiscard]] static bool IsValid(double per_second, std::int64_t burst) {
    return per_second > 0 && per_second <= 1e12 && burst >= 1 &&
           static_cast<double>(burst) * std::ceil(kTicksPerSecond / per_second) <= kMaxSpan;
  }
  /// Of valid values.
  static GcraLimit Of(double per_second, std::int64_t burst) {
    return {.period = GcraTicks::Of(per_second, kTicksPerSecond).period, .burst = burst};
  }
  [[nodiscard]] double tolerance() const { return ticks().Tolerance(static_cast<double>(burst)); }

  struct Outcome {
    std::int64_t granted = 0;
    std::int64_t left = 0;
    double full_at = 0;  ///< The new arrival time, not before `now`.
  };
  /// Takes up to `want` tokens; of a negative `want`, gives so many back. `full_at` is what the last outcome
  /// said, or anything up to `now` for a full bucket; both in microseconds of one clock.
  [[nodiscard]] Outcome Take(double full_at, double now, std::int64_t want) const {
    Outcome outcome;
    double ahead = std::fmax(full_at - now, 0);
    if (want < 0) {
      ahead = std::fmax(ahead + ticks().Cost(static_cast<double>(want)), 0);
    } else {
      outcome.granted = std::min(want, Free(ahead));
      ahead += ticks().Cost(static_cast<double>(outcome.granted));
    }
    outcome.left = Free(ahead);
    outcome.full_at = now + ahead;
    return outcome;
  }

 private:
  [[nodiscard]] GcraTicks ticks() const { return {.period = period}; }
  [[nodiscard]] std::int64_t Free(double ahead) const {
    const double tokens = std::floor((tolerance() - ahead) / period);
    return static_cast<std::int64_t>(std::fmax(std::fmin(tokens, static_cast<double>(burst)), 0));
  }
};

}  // namespace mezzo::storage
