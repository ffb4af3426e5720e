#include "mezzo/jobs/retry_policy.h"

#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Error kPasses = Unavailable("engine_busy", "busy");
constexpr double kMiddle = 0.5;

TEST(RetryPolicy, WaitsOneTwoAndFourSecondsThenGivesUp) {
  const RetryPolicy policy;

  EXPECT_EQ(policy.OnError(kPasses, 0, kMiddle).delay, seconds(1));
  EXPECT_EQ(policy.OnError(kPasses, 1, kMiddle).delay, seconds(2));
  EXPECT_EQ(policy.OnError(kPasses, 2, kMiddle).delay, seconds(4));
  EXPECT_TRUE(policy.OnError(kPasses, 2, kMiddle).retry);
  EXPECT_FALSE(policy.OnError(kPasses, 3, kMiddle).retry);
}

TEST(RetryPolicy, SpreadsRetriesByAFifthEitherWay) {
  const RetryPolicy policy;

  EXPECT_EQ(policy.OnError(kPasses, 0, 0).delay, milliseconds(800));
  EXPECT_LT(policy.OnError(kPasses, 0, 0.999).delay, milliseconds(1200));
  EXPECT_GT(policy.OnError(kPasses, 0, 0.999).delay, milliseconds(1190));
}

TEST(RetryPolicy, FaultsThatDoNotPassAreFinal) {
  const RetryPolicy policy;

  EXPECT_FALSE(policy.OnError(InvalidArgument("prompt_empty", "no prompt"), 0, kMiddle).retry);
  EXPECT_FALSE(policy.OnError(Internal("engine_failed", "NaN"), 0, kMiddle).retry);
}

TEST(RetryPolicy, HonoursALaterTimeButNotAnAbsurdOne) {
  const RetryPolicy policy;

  EXPECT_EQ(policy.OnError(Unavailable("upstream", "").WithRetryAfter(seconds(30)), 0, kMiddle).delay,
            seconds(30));
  EXPECT_EQ(policy.OnError(Unavailable("upstream", "").WithRetryAfter(minutes(600)), 0, kMiddle).delay,
            minutes(5));
}

TEST(RetryPolicy, TwoCrashesEndInQuarantine) {
  const RetryPolicy policy;

  EXPECT_TRUE(policy.MayRunAgain(1));
  EXPECT_FALSE(policy.MayRunAgain(2));
}

}  // namespace
}  // namespace mezzo::jobs
