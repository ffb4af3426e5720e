#include "mezzo/observe/health.h"

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::observe {
namespace {

TEST(Health, IsReadyOnceEveryCheckReportedWell) {
  Health health;
  EXPECT_TRUE(health.ready());
  HealthCheck models = health.NewCheck("models", HealthKind::kReadiness);
  HealthCheck loops = health.NewCheck("loops", HealthKind::kLiveness);
  EXPECT_FALSE(health.ready());
  EXPECT_TRUE(health.live()) << "starting is not being dead";
  EXPECT_EQ(health.WhyNotReady(), "loops: starting");

  models.Ok();
  loops.Ok();

  EXPECT_TRUE(health.ready());
  EXPECT_EQ(health.WhyNotReady(), "");
}

TEST(Health, AFailingReadinessCheckLeavesItLive) {
  Health health;
  HealthCheck models = health.NewCheck("models", HealthKind::kReadiness);

  models.Fail("magika: file is cut");

  EXPECT_TRUE(health.live());
  EXPECT_FALSE(health.ready());
  EXPECT_EQ(health.WhyNotReady(), "models: magika: file is cut");
}

TEST(Health, AFailingLivenessCheckMakesItNeither) {
  Health health;
  HealthCheck loops = health.NewCheck("loops", HealthKind::kLiveness);
  loops.Ok();

  loops.Fail("loop 0 stalled");
  EXPECT_FALSE(health.live());
  EXPECT_FALSE(health.ready());

  loops.Ok();
  EXPECT_TRUE(health.live());
}

TEST(Health, DrainingIsLiveButNotReady) {
  Health health;

  health.StartDraining();

  EXPECT_TRUE(health.live());
  EXPECT_FALSE(health.ready());
  EXPECT_EQ(health.WhyNotReady(), "draining");
}

TEST(Health, ACheckEndsWithItsHolder) {
  Health health;
  std::optional<HealthCheck> check = health.NewCheck("models", HealthKind::kReadiness);
  check->Fail("broken");

  check.reset();

  EXPECT_TRUE(health.ready());
  EXPECT_TRUE(health.Report().empty());
}

TEST(Health, ReportsItsChecksByName) {
  Health health;
  HealthCheck b = health.NewCheck("b", HealthKind::kReadiness);
  HealthCheck a = health.NewCheck("a", HealthKind::kLiveness);
  a.Ok();
  b.Fail(std::string(10'000, 'x'));

  const auto report = health.Report();

  ASSERT_EQ(report.size(), 2U);
  EXPECT_EQ(report[0].name, "a");
  EXPECT_TRUE(report[0].ok);
  EXPECT_EQ(report[1].reason.size(), 512U);
}

TEST(HealthDeathTest, ANameInUseAborts) {
  Health health;
  const HealthCheck first = health.NewCheck("models", HealthKind::kReadiness);

  EXPECT_DEATH(static_cast<void>(health.NewCheck("models", HealthKind::kReadiness)), "added");
}

TEST(Health, ADegradedCheckShowsAndLeavesTheServerReady) {
  Health health;
  HealthCheck redis = health.NewCheck("redis", HealthKind::kDegraded);
  redis.Fail("Redis is away");

  EXPECT_TRUE(health.live());
  EXPECT_TRUE(health.ready());
  EXPECT_EQ(health.WhyNotReady(), "");
  ASSERT_EQ(health.Report().size(), 1U);
  EXPECT_FALSE(health.Report()[0].ok);
  EXPECT_EQ(health.Report()[0].reason, "Redis is away");
}

}  // namespace
}  // namespace mezzo::observe
