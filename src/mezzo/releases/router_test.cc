#include "mezzo/releases/router.h"

#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/mutex.h"
#include "mezzo/observe/exposition.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::releases {
namespace {

using runtime::Breaker;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class FixedAliases final : public AliasSource {
 public:
  std::map<std::string, std::int64_t, std::less<>> aliases;
  [[nodiscard]] std::optional<std::int64_t> VersionOf(std::string_view /*model*/,
                                                      std::string_view alias) const override {
    const auto found = aliases.find(alias);
    if (found == aliases.end()) return std::nullopt;
    return found->second;
  }
};

struct Recorded final : ArmOutcomes {
  Mutex mu;
  std::vector<ArmOutcome> outcomes;  // Read by the test's thread alone, when no call runs.
  void Record(const ArmOutcome& outcome) override {
    const MutexLock lock(mu);
    outcomes.push_back(outcome);
  }
};
struct Sink final : OutcomeSink {
  std::map<std::string, std::shared_ptr<Recorded>> arms;
  std::shared_ptr<ArmOutcomes> Arm(const std::string& model, const std::string& series,
                                   const std::string& arm) override {
    auto& one = arms[model + "/" + series + "/" + arm];
    if (one == nullptr) one = std::make_shared<Recorded>();
    return one;
  }
};

class RouterTest : public ::testing::Test {
 protected:
  static RouteRecord Canary(std::int64_t revision, std::uint32_t weight, std::string salt = "s",
                            std::string version = "2") {
    return {
        .model = "m",
        .revision = revision,
        .route = {
            .sticky = Sticky::kTenant,
            .salt = std::move(salt),
            .arms = {{.name = "stable", .version = VersionName::Number(1), .weight = kWholeWeight - weight},
                     {.name = "canary", .version = VersionName::Parse(version).value(), .weight = weight}},
            .stable = VersionName::Number(1)}};
  }
  LiveRoute::Pick Choose(const LiveRouteRef& route) { return route->Choose({.tenant = "t"}, clock_.Now()); }
  void End(const LiveRouteRef& route, ArmEnd end) {
    const auto pick = Choose(route);
    route->End(pick, end, {.latency = milliseconds(1), .failed = end == ArmEnd::kFailed}, clock_.Now());
  }
  std::string Metrics() { return observe::Render(registry_, observe::ExpositionFormat::kPrometheusText); }

  testing::ManualClock clock_;
  observe::Registry registry_;
  FixedAliases aliases_;
  Sink sink_;
  Router router_{{.breaker = {.consecutive_failures = 3, .first_cooldown = seconds(1)}},
                 {.clock = clock_, .registry = registry_, .aliases = &aliases_, .outcomes = &sink_}};
};

TEST_F(RouterTest, KnowsTheRoutesItWasGiven) {
  EXPECT_EQ(router_.Find("m"), nullptr);
  router_.Update({Canary(7, 10'000)});
  const auto route = router_.Find("m");
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->revision(), 7);
  const auto pick = Choose(route);
  EXPECT_TRUE(pick.trial);
  EXPECT_EQ(route->target(pick).version, "2");
  EXPECT_EQ(route->stamp(pick.target), "canary;7");
  EXPECT_EQ(router_.Find("n"), nullptr);
  router_.Replace({});
  EXPECT_EQ(router_.Find("m"), nullptr);
  EXPECT_EQ(route->revision(), 7) << "who has it keeps it";
}

TEST_F(RouterTest, AnUpdateLeavesOtherRoutesAndAnEqualRevisionAsTheyAre) {
  RouteRecord other = Canary(1, 0);
  other.model = "n";
  router_.Update({Canary(1, 0), other});
  const LiveRoute* n = router_.Find("n").get();
  const LiveRoute* m = router_.Find("m").get();
  router_.Update({Canary(2, 5000)});
  EXPECT_EQ(router_.Find("n").get(), n);
  EXPECT_NE(router_.Find("m").get(), m);
  EXPECT_EQ(router_.size(), 2U);
}

TEST_F(RouterTest, AnArmThatKeepsFailingGetsNoCallsUntilAProbeSucceeds) {
  router_.Update({Canary(1, 10'000)});
  const auto route = router_.Find("m");
  for (int i = 0; i < 3; ++i) End(route, ArmEnd::kFailed);
  auto pick = Choose(route);
  EXPECT_FALSE(pick.trial);
  EXPECT_EQ(route->target(pick).version, "1");
  EXPECT_EQ(route->stamp(pick.target), "stable;1");
  route->End(pick, ArmEnd::kOk, {}, clock_.Now());
  EXPECT_THAT(Metrics(), HasSubstr(R"(mezzo_route_breaker_open{model="m",arm="canary",version="2"} 1)"));

  clock_.Advance(milliseconds(1001));
  const auto probe = Choose(route);
  EXPECT_TRUE(probe.probe);
  EXPECT_FALSE(Choose(route).trial) << "one probe at a time";
  route->End(probe, ArmEnd::kUnjudged, {}, clock_.Now());
  const auto again = Choose(route);
  EXPECT_TRUE(again.probe) << "what says nothing is tried again";
  route->End(again, ArmEnd::kOk, {}, clock_.Now());
  pick = Choose(route);
  EXPECT_TRUE(pick.trial);
  EXPECT_FALSE(pick.probe);
  EXPECT_THAT(Metrics(),
              HasSubstr(R"(mezzo_route_calls_total{model="m",arm="canary",version="2",outcome="failed"} 3)"));
}

TEST_F(RouterTest, BreakersAndCountsOutliveMovedWeightsButNotAnotherVersionOrSalt) {
  router_.Update({Canary(1, 10'000)});
  for (int i = 0; i < 3; ++i) End(router_.Find("m"), ArmEnd::kFailed);
  router_.Update({Canary(2, 9'999)});
  EXPECT_EQ(router_.Find("m")->arm(1).state(), Breaker::State::kOpen);
  router_.Update({Canary(3, 9'999, "s", "3")});
  EXPECT_EQ(router_.Find("m")->arm(1).state(), Breaker::State::kClosed);
  router_.Update({Canary(4, 9'999)});
  for (int i = 0; i < 3; ++i)
    router_.Find("m")->End({.target = 1, .trial = true}, ArmEnd::kFailed, {}, clock_.Now());
  EXPECT_EQ(router_.Find("m")->arm(1).state(), Breaker::State::kOpen);
  router_.Update({Canary(5, 9'999, "other")});
  EXPECT_EQ(router_.Find("m")->arm(1).state(), Breaker::State::kClosed);
}

TEST_F(RouterTest, AnAliasThatMovesMovesTheRoute) {
  router_.Update({Canary(1, 10'000, "s", "@next")});
  auto pick = Choose(router_.Find("m"));
  EXPECT_FALSE(pick.trial) << "nothing stands under it: the stable version answers";
  EXPECT_EQ(router_.Find("m")->target(pick).version, "1");
  aliases_.aliases["next"] = 8;
  router_.Update({});
  EXPECT_EQ(router_.Find("m")->target(Choose(router_.Find("m"))).version, "8");
  aliases_.aliases["next"] = 9;
  router_.Update({});
  EXPECT_EQ(router_.Find("m")->target(Choose(router_.Find("m"))).version, "9");
  EXPECT_EQ(router_.Find("m")->revision(), 1);
}

TEST_F(RouterTest, OutcomesGoToTheArmsOfTheSeries) {
  router_.Update({Canary(1, 10'000, "first")});
  End(router_.Find("m"), ArmEnd::kOk);
  End(router_.Find("m"), ArmEnd::kFailed);
  End(router_.Find("m"), ArmEnd::kUnjudged);
  ASSERT_EQ(sink_.arms["m/first/canary"]->outcomes.size(), 2U) << "what says nothing is no outcome";
  EXPECT_TRUE(sink_.arms["m/first/canary"]->outcomes[1].failed);
  router_.Update({Canary(2, 10'000, "second")});
  End(router_.Find("m"), ArmEnd::kOk);
  EXPECT_EQ(sink_.arms["m/second/canary"]->outcomes.size(), 1U);
}

TEST_F(RouterTest, LateTrialsAreHedgedByTheStableVersionsP99AndTheDeadline) {
  router_.Update({Canary(1, 0)});
  const auto route = router_.Find("m");
  const TimePoint now = clock_.Now();
  EXPECT_EQ(route->HedgeAt(now, kNever), kNever) << "nothing is known";
  EXPECT_EQ(route->HedgeAt(now, now + seconds(4)), now + seconds(3)) << "a quarter is left";
  for (int i = 0; i < 100; ++i) {
    const auto pick = Choose(route);
    route->End(pick, ArmEnd::kOk, {.latency = milliseconds(20)}, now);
  }
  const TimePoint hedge = route->HedgeAt(now, kNever);
  EXPECT_GE(hedge, now + milliseconds(60));
  EXPECT_LE(hedge, now + milliseconds(68));
  EXPECT_EQ(route->HedgeAt(now, now + seconds(100)), hedge);
  EXPECT_LE(route->HedgeAt(now, now + milliseconds(60)), now + milliseconds(31));
}

TEST_F(RouterTest, SeriesGoWithTheirArms) {
  router_.Update({Canary(1, 10'000)});
  End(router_.Find("m"), ArmEnd::kOk);
  EXPECT_THAT(Metrics(), HasSubstr("arm=\"canary\""));
  router_.Replace({});
  (void)router_.Find("m");  // Lets go of what this thread had kept.
  EXPECT_THAT(Metrics(), Not(HasSubstr("arm=\"canary\"")));
}

TEST_F(RouterTest, ACallEntersTheShadowsThatItsNumberChoosesWhileTheyHavePlaces) {
  router_.Update(
      {{.model = "m",
        .revision = 1,
        .route = {
            .shadows = {{.version = VersionName::Number(5), .share = kWholeWeight, .max_in_flight = 2},
                        {.version = VersionName::Number(6), .share = 0, .max_in_flight = 9},
                        {.version = {.kind = VersionName::Kind::kAlias, .number = 0, .alias = "nobody"},
                         .share = kWholeWeight},
                        {.version = VersionName::Number(7), .share = kWholeWeight / 2, .max_in_flight = 9}},
            .stable = VersionName::Number(1)}}});
  const auto route = router_.Find("m");
  std::size_t both = 0;
  constexpr std::uint64_t kCalls = 64;
  for (std::uint64_t n = 0; n < kCalls; ++n) {
    const std::uint64_t random = (UINT64_MAX / kCalls * n) & ~std::uint64_t{1};
    const auto entered = route->EnterShadows(random);
    const bool chosen = route->table().Shadowed(3, random);
    if (chosen) {
      EXPECT_THAT(entered, ElementsAre(0, 3));
      route->shadow(3).Leave();
      ++both;
    } else {
      EXPECT_THAT(entered, ElementsAre(0));
    }
    route->shadow(0).Leave();
  }
  EXPECT_GT(both, 0U);
  EXPECT_LT(both, kCalls);
  // What has no place any more is passed over and counted; the others are not.
  ASSERT_TRUE(route->shadow(0).Enter(2));
  ASSERT_TRUE(route->shadow(0).Enter(2));
  EXPECT_THAT(route->EnterShadows(0), Not(Contains(0U)));
  EXPECT_THAT(Metrics(),
              HasSubstr(R"(mezzo_route_shadow_calls_total{model="m",version="5",outcome="dropped"} 1)"));
}

TEST_F(RouterTest, ShadowsHaveALimitAndCountWhatTheyAnswer) {
  router_.Update({{.model = "m",
                   .revision = 1,
                   .route = {.shadows = {{.version = VersionName::Number(5), .share = 1, .max_in_flight = 2}},
                             .stable = VersionName::Number(1)}}});
  LiveShadow& shadow = router_.Find("m")->shadow(0);
  EXPECT_TRUE(shadow.Enter(2));
  EXPECT_TRUE(shadow.Enter(2));
  EXPECT_FALSE(shadow.Enter(2));
  shadow.Leave();
  EXPECT_TRUE(shadow.Enter(2));
  shadow.CountAnswer({.exact = false, .max_abs = 0.5, .cosine = 0.9});
  shadow.CountAnswer({.exact = false, .max_abs = 0.25, .cosine = 0.95});
  EXPECT_THAT(Metrics(), HasSubstr(R"(mezzo_route_shadow_max_difference{model="m",version="5"} 0.5)"));
  EXPECT_THAT(Metrics(), HasSubstr(R"(mezzo_route_shadow_min_cosine{model="m",version="5"} 0.9)"));
  EXPECT_THAT(Metrics(),
              HasSubstr(R"(mezzo_route_shadow_calls_total{model="m",version="5",outcome="dropped"} 1)"));
}

TEST_F(RouterTest, ALateTrialCountsAgainstItsArmUnlessTheHostIsSlowItself) {
  for (const ArmEnd end : {ArmEnd::kOutrun, ArmEnd::kLate}) {
    router_.Replace({Canary(1, kWholeWeight, end == ArmEnd::kLate ? "late" : "outrun")});
    const auto route = router_.Find("m");
    const auto pick = route->Choose({.tenant = "t"}, clock_.Now());
    ASSERT_TRUE(pick.trial);
    for (int i = 0; i < 30; ++i) route->End(pick, end, {.retried = true, .late = true}, clock_.Now());
    const auto state = route->arm(pick.target).state();
    EXPECT_EQ(state == Breaker::State::kClosed, end == ArmEnd::kOutrun);
  }
  EXPECT_THAT(Metrics(), HasSubstr("outcome=\"late\"} 60"));
}

TEST_F(RouterTest, TrialsThatAreLateTogetherCountOnce) {
  router_.Replace({Canary(1, kWholeWeight, "late")});
  const auto route = router_.Find("m");
  const auto pick = route->Choose({.tenant = "t"}, clock_.Now());
  ASSERT_TRUE(pick.trial);
  const auto stall = [&] {
    clock_.Advance(milliseconds(20));
    for (int i = 0; i < 10; ++i) {
      clock_.Advance(milliseconds(1));
      route->End(pick, ArmEnd::kLate, {.latency = milliseconds(15), .retried = true, .late = true},
                 clock_.Now());
    }
    return route->arm(pick.target).state();
  };
  for (int stalls = 1; stalls <= 2; ++stalls) EXPECT_EQ(stall(), Breaker::State::kClosed) << stalls;
  EXPECT_NE(stall(), Breaker::State::kClosed) << "three, one behind the other";
}

// Calls on two threads while the weights move: every call has one route, whole.
TEST_F(RouterTest, CallsSeeOneRevisionWhileRoutesMove) {
  router_.Update({Canary(1, 1)});
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto route = router_.Find("m");
        const auto pick = route->Choose({.tenant = "t"}, clock_.Now());
        const std::string tail = ";" + std::to_string(route->revision());
        ASSERT_THAT(route->stamp(pick.target), ::testing::EndsWith(tail));
        route->End(pick, ArmEnd::kOk, {}, clock_.Now());
      }
    });
  }
  for (int revision = 2; revision < 300; ++revision) {
    router_.Update(
        {Canary(revision, static_cast<std::uint32_t>(revision * 30), "s" + std::to_string(revision % 3))});
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace mezzo::releases
