#include "mezzo/inference/version_pick.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/observe/metrics.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::inference {
namespace {

using releases::VersionName;
using std::chrono::seconds;

class VersionPickTest : public ::testing::Test {
 protected:
  VersionPickTest() {
    router_.Update(
        {{.model = "m",
          .revision = 3,
          .route = {.arms = {{.name = "canary", .version = VersionName::Number(2), .weight = 10'000}},
                    .stable = VersionName::Number(1)}}});
  }
  VersionPick Pick() {
    const auto route = router_.Find("m");
    return {route, route->Choose({}, clock_.Now()), clock_};
  }
  [[nodiscard]] runtime::Breaker::State State() const { return router_.Find("m")->arm(0).state(); }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  releases::Router router_{{.breaker = {.consecutive_failures = 1, .first_cooldown = seconds(1)}},
                           {.clock = clock_, .registry = registry_}};
};

TEST_F(VersionPickTest, WithoutARouteTheNewestIsPickedAndNothingIsTriedAgain) {
  VersionPick pick;
  EXPECT_EQ(pick.version(), "");
  EXPECT_EQ(pick.stamp(), "");
  EXPECT_FALSE(pick.FallBack(Internal("engine_failed", "")));
}

TEST_F(VersionPickTest, FallsBackToTheStableVersionOnce) {
  VersionPick pick = Pick();
  EXPECT_EQ(pick.version(), "2");
  EXPECT_EQ(pick.stamp(), "canary;3");
  EXPECT_TRUE(pick.FallBack(Internal("engine_failed", "")));
  EXPECT_EQ(pick.version(), "1");
  EXPECT_EQ(pick.stamp(), "stable;3");
  EXPECT_FALSE(pick.FallBack(Internal("engine_failed", "")));
  EXPECT_EQ(State(), runtime::Breaker::State::kOpen) << "one failure was counted";
}

TEST_F(VersionPickTest, TheCallersFaultIsNotTriedAgain) {
  VersionPick pick = Pick();
  EXPECT_FALSE(pick.FallBack(Cancelled("cancelled", "")));
  EXPECT_EQ(pick.version(), "2");
  EXPECT_EQ(State(), runtime::Breaker::State::kClosed);
}

TEST_F(VersionPickTest, AProbeThatIsDroppedMakesRoomForTheNext) {
  EXPECT_TRUE(Pick().FallBack(Internal("engine_failed", "")));
  clock_.Advance(seconds(2));
  EXPECT_EQ(Pick().version(), "2") << "the probe, dropped at once";
  VersionPick probe = Pick();
  EXPECT_EQ(probe.version(), "2");
  EXPECT_EQ(Pick().version(), "1") << "one probe at a time";
  probe.Succeeded(seconds(1), /*kept=*/false);
  EXPECT_EQ(Pick().version(), "2");
}

/// What the arms' outcomes were.
class KeptOutcomes final : public releases::OutcomeSink {
 public:
  class Arm final : public releases::ArmOutcomes {
   public:
    Arm(std::vector<std::pair<std::string, releases::ArmOutcome>>& all, std::string arm)
        : all_(all), arm_(std::move(arm)) {}
    void Record(const releases::ArmOutcome& outcome) override { all_.emplace_back(arm_, outcome); }

   private:
    std::vector<std::pair<std::string, releases::ArmOutcome>>& all_;
    const std::string arm_;
  };
  std::shared_ptr<releases::ArmOutcomes> Arm(const std::string&, const std::string&,
                                             const std::string& arm) override {
    return std::make_shared<class Arm>(all, arm);
  }
  std::vector<std::pair<std::string, releases::ArmOutcome>> all;
};

class VersionPickOutcomesTest : public ::testing::Test {
 protected:
  void Route(std::int64_t to) {
    router_.Replace(
        {{.model = "m",
          .revision = ++revision_,
          .route = {.salt = "release",
                    .arms = {{.name = "canary", .version = VersionName::Number(to), .weight = 10'000}},
                    .stable = VersionName::Number(1)}}});
  }
  VersionPick Pick() {
    const auto route = router_.Find("m");
    return {route, route->Choose({}, clock_.Now()), clock_};
  }

  KeptOutcomes outcomes_;
  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  std::int64_t revision_ = 0;
  releases::Router router_{{}, {.clock = clock_, .registry = registry_, .outcomes = &outcomes_}};
};

TEST_F(VersionPickOutcomesTest, ABadRequestIsTheVersionsFaultWhenTheStableOneTakesIt) {
  Route(2);
  {
    VersionPick both_refuse = Pick();
    EXPECT_TRUE(both_refuse.FallBack(InvalidArgument("shape", "")));
    EXPECT_FALSE(both_refuse.FallBack(InvalidArgument("shape", "")));
  }
  EXPECT_TRUE(outcomes_.all.empty()) << "it was the caller's fault";

  VersionPick only_one = Pick();
  EXPECT_TRUE(only_one.FallBack(InvalidArgument("shape", "")));
  only_one.Succeeded(seconds(1), /*kept=*/false);

  ASSERT_EQ(outcomes_.all.size(), 1U);
  EXPECT_EQ(outcomes_.all[0].first, "canary");
  EXPECT_TRUE(outcomes_.all[0].second.failed);
  EXPECT_TRUE(outcomes_.all[0].second.retried);
}

TEST_F(VersionPickOutcomesTest, WhatIsLateIsAFailureThatWasMadeAgain) {
  Route(2);
  VersionPick pick = Pick();
  ASSERT_TRUE(pick.trial());
  EXPECT_TRUE(pick.FallBackLate());
  EXPECT_EQ(pick.version(), "1");
  EXPECT_FALSE(pick.FallBackLate());
  ASSERT_EQ(outcomes_.all.size(), 1U);
  EXPECT_TRUE(outcomes_.all[0].second.late);
  EXPECT_TRUE(outcomes_.all[0].second.failed);
}

TEST_F(VersionPickOutcomesTest, TheStableVersionsFailuresCountAndAreNotMadeAgain) {
  Route(1);
  VersionPick pick = Pick();
  EXPECT_FALSE(pick.trial());
  EXPECT_FALSE(pick.FallBack(Internal("engine_failed", "")));
  ASSERT_EQ(outcomes_.all.size(), 1U);
  EXPECT_TRUE(outcomes_.all[0].second.failed);
  EXPECT_FALSE(outcomes_.all[0].second.retried);
}

TEST_F(VersionPickOutcomesTest, WorkHasItsOwnLatency) {
  Route(2);
  VersionPick pick = Pick();
  clock_.Advance(seconds(100));  // It waited.
  pick.Succeeded(seconds(2), /*kept=*/false, seconds(3));
  ASSERT_EQ(outcomes_.all.size(), 1U);
  EXPECT_EQ(outcomes_.all[0].second.latency, seconds(3));
  EXPECT_EQ(outcomes_.all[0].second.cost, 2);
}

}  // namespace
}  // namespace mezzo::inference
