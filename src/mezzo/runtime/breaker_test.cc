#include "mezzo/runtime/breaker.h"

#include <gtest/gtest.h>

namespace mezzo::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kNow = TimePoint(seconds(100));

Breaker::Options Quick() {
  return {
      .consecutive_failures = 3, .failure_rate = 2, .first_cooldown = seconds(1), .max_cooldown = seconds(4)};
}

void Trip(Breaker& breaker, TimePoint now) {
  while (!breaker.OnRun(false, false, now)) {
  }
}

TEST(Breaker, OpensAfterFailuresInARowOnly) {
  Breaker breaker(Quick());

  EXPECT_FALSE(breaker.OnRun(false, false, kNow));
  EXPECT_FALSE(breaker.OnRun(false, false, kNow));
  EXPECT_FALSE(breaker.OnRun(true, false, kNow)) << "a success begins the count anew";
  EXPECT_FALSE(breaker.OnRun(false, false, kNow));
  EXPECT_FALSE(breaker.OnRun(false, false, kNow));
  EXPECT_TRUE(breaker.OnRun(false, false, kNow));

  EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
  EXPECT_EQ(breaker.retry_at(), kNow + seconds(1));
  EXPECT_EQ(breaker.times_opened(), 1u);
}

TEST(Breaker, OpensOnAHighFailureRate) {
  Breaker breaker({.consecutive_failures = 0, .failure_rate = 0.5, .min_runs = 20});

  int runs = 0;
  for (bool opened = false; !opened && runs < 200; ++runs) opened = breaker.OnRun(runs % 4 == 0, false, kNow);

  EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
  EXPECT_GE(runs, 20) << "a few runs are no rate";
}

TEST(Breaker, StaysClosedAtALowFailureRate) {
  Breaker breaker({.consecutive_failures = 0, .failure_rate = 0.5, .min_runs = 20});

  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(breaker.OnRun(i % 5 != 0, false, kNow));

  EXPECT_EQ(breaker.state(), Breaker::State::kClosed);
}

TEST(Breaker, LetsExactlyOneProbeThroughAfterTheCooldown) {
  Breaker breaker(Quick());
  Trip(breaker, kNow);

  EXPECT_EQ(breaker.Admit(kNow + milliseconds(999)), Breaker::Admission::kNo);
  EXPECT_EQ(breaker.Admit(kNow + seconds(1)), Breaker::Admission::kProbe);
  EXPECT_EQ(breaker.Admit(kNow + seconds(1)), Breaker::Admission::kNo);
  EXPECT_EQ(breaker.state(), Breaker::State::kHalfOpen);

  EXPECT_FALSE(breaker.OnRun(true, true, kNow + seconds(1)));
  EXPECT_EQ(breaker.state(), Breaker::State::kClosed);
  EXPECT_EQ(breaker.Admit(kNow + seconds(1)), Breaker::Admission::kYes);
}

TEST(Breaker, AnAbandonedProbeLetsTheNextOneThrough) {
  Breaker breaker(Quick());
  Trip(breaker, kNow);
  ASSERT_EQ(breaker.Admit(kNow + seconds(1)), Breaker::Admission::kProbe);

  breaker.OnProbeGone();

  EXPECT_EQ(breaker.Admit(kNow + seconds(1)), Breaker::Admission::kProbe);
}

TEST(Breaker, DoublesTheCooldownUpToTheCap) {
  Breaker breaker(Quick());
  TimePoint now = kNow;
  Trip(breaker, now);

  for (const Duration expected : {seconds(2), seconds(4), seconds(4)}) {
    now = breaker.retry_at();
    ASSERT_EQ(breaker.Admit(now), Breaker::Admission::kProbe);
    EXPECT_TRUE(breaker.OnRun(false, true, now));
    EXPECT_EQ(breaker.retry_at() - now, expected);
  }
}

TEST(Breaker, ForgivesAfterEnoughSuccesses) {
  Breaker breaker(Quick());
  Trip(breaker, kNow);
  ASSERT_EQ(breaker.Admit(breaker.retry_at()), Breaker::Admission::kProbe);
  breaker.OnRun(true, true, kNow);

  for (int i = 0; i < 20; ++i) breaker.OnRun(true, false, kNow);
  Trip(breaker, kNow);

  EXPECT_EQ(breaker.retry_at(), kNow + seconds(1));
}

TEST(Breaker, FlappingKeepsTheLongerCooldown) {
  Breaker breaker(Quick());
  Trip(breaker, kNow);
  ASSERT_EQ(breaker.Admit(breaker.retry_at()), Breaker::Admission::kProbe);
  breaker.OnRun(true, true, kNow);

  Trip(breaker, kNow);

  EXPECT_EQ(breaker.retry_at(), kNow + seconds(2));
}

TEST(Breaker, IgnoresRunsThatBeganBeforeItOpened) {
  Breaker breaker(Quick());
  EXPECT_TRUE(breaker.OnHang(kNow));

  EXPECT_FALSE(breaker.OnRun(true, false, kNow));
  EXPECT_FALSE(breaker.OnRun(false, false, kNow));
  EXPECT_FALSE(breaker.OnHang(kNow));

  EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
  EXPECT_EQ(breaker.times_opened(), 1u);
}

TEST(Breaker, AHangOfTheProbeOpensItAgain) {
  Breaker breaker(Quick());
  Trip(breaker, kNow);
  ASSERT_EQ(breaker.Admit(breaker.retry_at()), Breaker::Admission::kProbe);

  EXPECT_TRUE(breaker.OnHang(kNow + seconds(5)));

  EXPECT_EQ(breaker.retry_at(), kNow + seconds(5) + seconds(2));
}

}  // namespace
}  // namespace mezzo::runtime
