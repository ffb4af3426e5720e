#include "mezzo/jobs/webhook_schedule.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <string>

#include "mezzo/base/strings.h"

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

/// Entry n: from try n to try n + 1; the first try is at once.
constexpr std::array<Duration, WebhookSchedule::kMaxTries> kDelays = {
    Duration::zero(), seconds(5), minutes(5), minutes(30), hours(2),
    hours(5),         hours(10),  hours(14),  hours(20),   hours(24)};

bool Throttles(int status) { return status == 429 || status == 502 || status == 504; }

constexpr std::int64_t kMostSeconds = 1'000'000'000;  // Far beyond every bound, and a Duration holds it.

}  // namespace

std::string_view VerdictName(WebhookVerdict verdict) {
  static constexpr std::array<std::string_view, 4> kNames = {"delivered", "retry", "failed", "gone"};
  return kNames.at(static_cast<std::size_t>(verdict));
}

WebhookSchedule::Decision WebhookSchedule::Again(Duration least, std::int64_t tries, double random) const {
  if (tries >= kMaxTries) return {.verdict = WebhookVerdict::kFailed};
  const Duration planned = kDelays.at(static_cast<std::size_t>(std::max<std::int64_t>(tries, 1)));
  const Duration delay = std::max(planned, least);
  return {.verdict = WebhookVerdict::kRetry, .delay = delay + FromSeconds(Seconds(delay) * jitter * random)};
}

WebhookSchedule::Decision WebhookSchedule::OnStatus(int status, std::optional<Duration> retry_after,
                                                    std::int64_t tries, double random) const {
  if (status >= 200 && status < 300) return {.verdict = WebhookVerdict::kDelivered};
  if (status == 410) return {.verdict = WebhookVerdict::kGone};
  const Duration asked = std::min(retry_after.value_or(Duration::zero()), longest_retry_after);
  Decision decision = Again(asked, tries, random);
  if (Throttles(status))
    decision.pause = std::min(asked > Duration::zero() ? asked : throttle_pause, longest_pause);
  return decision;
}

WebhookSchedule::Decision WebhookSchedule::OnError(const Error& error, std::int64_t tries,
                                                   double random) const {
  if (error.code() == Code::kInvalidArgument || error.code() == Code::kPermissionDenied)
    return {.verdict = WebhookVerdict::kFailed};
  return Again(Duration::zero(), tries, random);
}

std::optional<Duration> ParseRetryAfter(std::string_view text, WallTime now) {
  if (const auto count = ParseUint(text)) return seconds(std::min<std::uint64_t>(*count, kMostSeconds));
  const std::string date(text);
  tm parts{};
  const char* end = ::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  // In seconds: a Duration does not hold every year that can be written.
  const std::int64_t now_s = std::chrono::floor<seconds>(now).time_since_epoch().count();
  return seconds(std::clamp<std::int64_t>(::timegm(&parts) - now_s, 0, kMostSeconds));
}

}  // namespace mezzo::jobs
