#include "mezzo/inference/version_pick.h"

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

}  // namespace
}  // namespace mezzo::inference
