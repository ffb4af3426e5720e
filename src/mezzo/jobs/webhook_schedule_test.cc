#include "mezzo/jobs/webhook_schedule.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using enum WebhookVerdict;

constexpr WebhookSchedule kSchedule;
constexpr Duration kNone = Duration::zero();

WebhookVerdict VerdictOf(int status) { return kSchedule.OnStatus(status, std::nullopt, 1, 0).verdict; }

TEST(WebhookSchedule, TriesTenTimesWithTheDelaysOfTheStandard) {
  std::vector<Duration> delays;
  std::int64_t tries = 1;
  while (true) {
    const auto decision = kSchedule.OnStatus(500, std::nullopt, tries, 0);
    if (decision.verdict != kRetry) break;
    delays.push_back(decision.delay);
    ++tries;
  }
  EXPECT_EQ(tries, 10);
  EXPECT_THAT(delays, ElementsAre(seconds(5), minutes(5), minutes(30), hours(2), hours(5), hours(10),
                                  hours(14), hours(20), hours(24)));
  EXPECT_EQ(kSchedule.OnStatus(500, std::nullopt, 10, 0).verdict, kFailed);
}

TEST(WebhookSchedule, JitterOnlyDelaysAndByATenthAtMost) {
  const auto late = kSchedule.OnStatus(500, std::nullopt, 2, 0.999).delay;
  EXPECT_GT(late, minutes(5) + seconds(29));
  EXPECT_LT(late, minutes(5) + seconds(30));
}

TEST(WebhookSchedule, Only2xxIsSuccess) {
  for (const int status : {200, 201, 202, 204, 299}) EXPECT_EQ(VerdictOf(status), kDelivered) << status;
  for (const int status : {100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503})
    EXPECT_EQ(VerdictOf(status), kRetry) << status;
}

TEST(WebhookSchedule, GoneIsForGoodAtTheFirstTry) { EXPECT_EQ(VerdictOf(410), kGone); }

TEST(WebhookSchedule, RetryAfterDelaysButNeverHastens) {
  EXPECT_EQ(kSchedule.OnStatus(503, minutes(2), 1, 0).delay, minutes(2));
  EXPECT_EQ(kSchedule.OnStatus(503, seconds(1), 1, 0).delay, seconds(5));
  EXPECT_EQ(kSchedule.OnStatus(503, hours(24 * 365), 1, 0).delay, hours(24));
  EXPECT_EQ(kSchedule.OnStatus(429, hours(1), 10, 0).verdict, kFailed);
}

TEST(WebhookSchedule, ThrottlingPausesTheEndpoint) {
  for (const int status : {429, 502, 504})
    EXPECT_EQ(kSchedule.OnStatus(status, std::nullopt, 1, 0).pause, seconds(10)) << status;
  EXPECT_EQ(kSchedule.OnStatus(429, seconds(90), 1, 0).pause, seconds(90));
  EXPECT_EQ(kSchedule.OnStatus(429, hours(5), 1, 0).pause, minutes(15));
  for (const int status : {200, 302, 410, 500, 503})
    EXPECT_EQ(kSchedule.OnStatus(status, seconds(90), 1, 0).pause, kNone) << status;
}

TEST(WebhookSchedule, FaultsThatCanPassAreTriedAgainAndOthersNot) {
  EXPECT_EQ(kSchedule.OnError(Unavailable("http_failed", ""), 1, 0).delay, seconds(5));
  EXPECT_EQ(kSchedule.OnError(DeadlineExceeded("http_timeout", ""), 9, 0).verdict, kRetry);
  EXPECT_EQ(kSchedule.OnError(DeadlineExceeded("http_timeout", ""), 10, 0).verdict, kFailed);
  EXPECT_EQ(kSchedule.OnError(InvalidArgument("bad_url", ""), 1, 0).verdict, kFailed);
  EXPECT_EQ(kSchedule.OnError(PermissionDenied("address_not_allowed", ""), 1, 0).verdict, kFailed);
}

TEST(ParseRetryAfter, ReadsSecondsAndDates) {
  const WallTime now = WallTime(seconds(1'700'000'000));  // Tue, 14 Nov 2023 22:13:20 GMT
  EXPECT_EQ(ParseRetryAfter("120", now), seconds(120));
  EXPECT_EQ(ParseRetryAfter("Tue, 14 Nov 2023 22:14:20 GMT", now), seconds(60));
  EXPECT_EQ(ParseRetryAfter("Tue, 14 Nov 2023 22:12:20 GMT", now), kNone);
  EXPECT_EQ(ParseRetryAfter("18446744073709551615", now), seconds(1'000'000'000));
  EXPECT_EQ(ParseRetryAfter("Fri, 31 Dec 9999 23:59:59 GMT", now), seconds(1'000'000'000));
  for (const char* text :
       {"", "-1", "1.5", "soon", "Tue, 14 Nov 2023 22:14:20 GMT and more", "Tue, 14 Nov 2023"})
    EXPECT_EQ(ParseRetryAfter(text, now), std::nullopt) << text;
}

}  // namespace
}  // namespace mezzo::jobs
