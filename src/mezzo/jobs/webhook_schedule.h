#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::jobs {

/// What becomes of an event after one try.
enum class WebhookVerdict : std::uint8_t {
  kDelivered,  ///< The receiver has it.
  kRetry,      ///< Tried again later.
  kFailed,     ///< For good: no tries are left, or none can succeed.
  kGone,       ///< 410: for good, and nothing more is sent to this URL.
};
/// "delivered", "retry", "failed", "gone".
std::string_view VerdictName(WebhookVerdict verdict);

/// When webhooks are tried again: at once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h after
/// the try before (Standard Webhooks 1.0.0, "Deliverability and Reliability"), each plus jitter. Pure;
/// thread-safe.
struct WebhookSchedule {
  static constexpr std::int64_t kMaxTries = 10;

  double jitter = 0.1;  ///< A delay grows by up to this share of itself.
  Duration longest_retry_after = std::chrono::hours(24);
  Duration throttle_pause =
      std::chrono::seconds(10);  ///< Of an endpoint that throttles and does not say how long.
  Duration longest_pause = std::chrono::minutes(15);

  struct Decision {
    WebhookVerdict verdict = WebhookVerdict::kRetry;
    Duration delay = {};  ///< Of kRetry: until the next try.
    Duration pause = {};  ///< Nothing at all goes to this endpoint for so long.
  };
  /// Of an answer. Success is 2xx and nothing else: redirects are not followed. 410 is kGone. 429, 502 and
  /// 504 also pause the endpoint. `retry_after`, when given, is the least delay. `tries`: 1 for the first.
  /// `random` is uniform in [0, 1).
  [[nodiscard]] Decision OnStatus(int status, std::optional<Duration> retry_after, std::int64_t tries,
                                  double random) const;
  /// Of a try without an answer. What can't succeed (kInvalidArgument, kPermissionDenied) fails for good.
  [[nodiscard]] Decision OnError(const Error& error, std::int64_t tries, double random) const;

 private:
  [[nodiscard]] Decision Again(Duration least, std::int64_t tries, double random) const;
};

/// The header Retry-After (RFC 9110 section 10.2.3): whole seconds or an IMF-fixdate, which counts from
/// `now`. Nothing when it can't be read; a date that has passed is zero.
std::optional<Duration> ParseRetryAfter(std::string_view text, WallTime now);

}  // namespace mezzo::jobs
