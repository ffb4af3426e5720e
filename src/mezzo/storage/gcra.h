#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace mezzo::storage {

/// A rate limit by the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"), in whole
/// microseconds: what every TokenStore computes, so that their buckets agree. Pure.
///
/// A bucket is one number, the theoretical arrival time: the time at which it will be full. n tokens cost
/// ceil(n · T) with T = 10^6 / per_second, and may be taken while that time lies at most burst · ceil(T)
/// ahead, so that `burst` tokens can be taken one by one as well.
struct GcraLimit {
  double period = 0;  ///< T, microseconds a token.
  std::int64_t burst = 0;

  static constexpr double kMaxSpan = 1e15;  ///< Microseconds; exact in a double, as Lua computes.

  [[nodiscard]] static bool IsValid(double per_second, std::int64_t burst) {
    return per_second > 0 && per_second <= 1e12 && burst >= 1 &&
           static_cast<double>(burst) * std::ceil(1e6 / per_second) <= kMaxSpan;
  }
  /// Of valid values.
  static GcraLimit Of(double per_second, std::int64_t burst) {
    return {.period = 1e6 / per_second, .burst = burst};
  }
  [[nodiscard]] double tolerance() const { return static_cast<double>(burst) * std::ceil(period); }

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
      ahead = std::fmax(ahead - std::floor(static_cast<double>(-want) * period), 0);
    } else {
      outcome.granted = std::min(want, Free(ahead));
      ahead += std::ceil(static_cast<double>(outcome.granted) * period);
    }
    outcome.left = Free(ahead);
    outcome.full_at = now + ahead;
    return outcome;
  }

 private:
  [[nodiscard]] std::int64_t Free(double ahead) const {
    const double tokens = std::floor((tolerance() - ahead) / period);
    return static_cast<std::int64_t>(std::fmax(std::fmin(tokens, static_cast<double>(burst)), 0));
  }
};

}  // namespace mezzo::storage
