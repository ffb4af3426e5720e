#include "mezzo/releases/release_machine.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mezzo::releases {
namespace {

using nlohmann::json;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

const WallTime kStart = WallTime(std::chrono::hours(500'000));

ReleaseSpec Canary() {
  ReleaseSpec spec;
  spec.model = "m";
  spec.stable = "3";
  spec.candidate = "4";
  return spec;
}
ReleaseSpec Of(Strategy strategy) {
  ReleaseSpec spec = Canary();
  spec.strategy = strategy;
  if (strategy == Strategy::kAb) {
    spec.candidate.clear();
    spec.arms = {{.name = "a", .version = "3", .weight = 5000},
                 {.name = "b", .version = "4", .weight = 5000}};
  }
  return spec;
}

/// Drives a release by hand; confirms each route at once.
class Life {
 public:
  explicit Life(ReleaseSpec spec) : release_(Begin(std::move(spec), "r1", "alice", kStart).release) {}

  void See(Observation seen) {
    seen.now = now_;
    Take(Advance(release_, seen));
  }
  void Ready() { See({.fleet = Observation::Fleet::kReady}); }
  void Verdict(Action action, const std::string& reason = "because") {
    See({.fleet = Observation::Fleet::kReady, .verdict = action, .verdict_reason = reason});
  }
  Result<void> Do(Command command, const std::string& arm = "") {
    MEZZO_TRY(Transition next, Obey(release_, command, arm, "bob", now_));
    Take(std::move(next));
    return {};
  }
  void Confirmed() { Take(Confirm(release_, 7, now_)); }
  void Wait(Duration time) { now_ += time; }

  [[nodiscard]] ReleaseState state() const { return release_.state; }
  [[nodiscard]] const Release& release() const { return release_; }
  [[nodiscard]] WallTime now() const { return now_; }
  /// "canary:4:500 ..." or "untouched".
  [[nodiscard]] std::string Route() const {
    const auto wanted = Wanted(release_);
    if (!wanted) return "untouched";
    std::string text = wanted->stable + "|";
    for (const WantedArm& arm : wanted->arms) {
      text += " " + arm.name + ":" + arm.version + ":" + std::to_string(arm.weight);
    }
    if (!wanted->shadow.empty()) text += " shadow:" + wanted->shadow;
    return text;
  }
  std::vector<std::string> events;

 private:
  void Take(Transition next) {
    release_ = std::move(next.release);
    for (const ReleaseEvent& event : next.events) events.push_back(event.kind + " by " + event.who);
    if (release_.route_pending && auto_confirm) {
      release_ = Confirm(release_, 7, now_).release;
    }
  }
  Release release_;
  WallTime now_ = kStart;

 public:
  bool auto_confirm = true;
};

TEST(ReleaseMachine, ACanaryGoesByStepsToTheWholeAndSettles) {
  Life life(Canary());
  EXPECT_EQ(life.state(), ReleaseState::kPreparing);
  EXPECT_EQ(life.Route(), "untouched");

  life.Ready();
  EXPECT_EQ(life.Route(), "3| canary:4:500 baseline:3:500 stable:3:9000");
  life.Verdict(Action::kHold);
  EXPECT_EQ(life.Route(), "3| canary:4:500 baseline:3:500 stable:3:9000");
  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.Route(), "3| canary:4:2500 baseline:3:2500 stable:3:5000");
  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.Route(), "3| canary:4:5000 baseline:3:5000");
  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.state(), ReleaseState::kSettling);
  EXPECT_EQ(life.Route(), "3| canary:4:10000");
  life.Wait(minutes(9));
  life.Ready();
  EXPECT_EQ(life.state(), ReleaseState::kSettling);
  life.Wait(minutes(1));
  life.Ready();

  EXPECT_EQ(life.state(), ReleaseState::kSucceeded);
  EXPECT_EQ(life.Route(), "4| stable:4:10000");
}

TEST(ReleaseMachine, BadNewsRollsBackFromWhereverThereAreCalls) {
  for (const bool breaks : {false, true}) {
    for (int stage = 0; stage < 4; ++stage) {
      Life life(Canary());
      life.auto_confirm = stage != 2;
      life.Ready();
      if (stage == 1) ASSERT_TRUE(life.Do(Command::kPause).ok());
      if (stage >= 2) ASSERT_TRUE(life.Do(Command::kPromote).ok());
      if (breaks) {
        life.See({.broken = true, .broken_reason = "crashed three times"});
      } else {
        life.Verdict(Action::kRollBack);
      }

      EXPECT_EQ(life.state(), ReleaseState::kRolledBack) << stage;
      EXPECT_EQ(life.Route(), "3| stable:3:10000");
      EXPECT_EQ(life.events.back(), "rolled_back by mezzo");
    }
  }
}

TEST(ReleaseMachine, AVersionThatDoesNotLoadNeverGetsACall) {
  Life failed(Canary());
  failed.See({.fleet = Observation::Fleet::kFailed, .fleet_reason = "no such file"});
  EXPECT_EQ(failed.state(), ReleaseState::kFailed);
  EXPECT_THAT(failed.release().reason, HasSubstr("no such file"));
  EXPECT_EQ(failed.Route(), "untouched");

  Life slow(Canary());
  slow.Wait(minutes(10));
  slow.See({.fleet = Observation::Fleet::kPending, .fleet_reason = "1 of 3 hosts have it."});
  EXPECT_EQ(slow.state(), ReleaseState::kFailed);
  EXPECT_FALSE(slow.release().route_pending);
}

TEST(ReleaseMachine, BlueGreenSwitchesAtOnceAndKeepsTheOldOneWarm) {
  Life life(Of(Strategy::kBlueGreen));

  life.Ready();
  EXPECT_EQ(life.state(), ReleaseState::kSettling);
  EXPECT_EQ(life.Route(), "3| canary:4:10000");
  ASSERT_TRUE(life.Do(Command::kRollBack).ok());

  EXPECT_EQ(life.Route(), "3| stable:3:10000");
}

TEST(ReleaseMachine, AShadowChangesNobodysAnswers) {
  Life life(Of(Strategy::kShadow));

  life.Ready();
  EXPECT_EQ(life.Route(), "3| stable:3:10000 shadow:4");
  life.Verdict(Action::kPromote);

  EXPECT_EQ(life.state(), ReleaseState::kSucceeded);
  EXPECT_EQ(life.Route(), "3| stable:3:10000");
}

TEST(ReleaseMachine, AnExperimentHasAWinnerOnlyWhenSomebodyNamesOne) {
  Life life(Of(Strategy::kAb));
  life.Ready();
  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.Route(), "3| a:3:5000 b:4:5000");

  EXPECT_EQ(life.Do(Command::kPromote).error().reason(), "release_arm");
  EXPECT_EQ(life.Do(Command::kPromote, "z").error().reason(), "release_arm");
  ASSERT_TRUE(life.Do(Command::kPromote, "b").ok());
  life.Wait(minutes(10));
  life.Ready();
  EXPECT_EQ(life.Route(), "4| stable:4:10000");

  Life over(Of(Strategy::kAb));
  over.Ready();
  over.Wait(Of(Strategy::kAb).step_limit);
  over.Ready();
  EXPECT_EQ(over.state(), ReleaseState::kSucceeded);
  EXPECT_EQ(over.Route(), "3| stable:3:10000");
}

TEST(ReleaseMachine, PausedMeansNothingMovesOnAndTheClockStands) {
  Life life(Canary());
  life.Ready();
  life.Wait(seconds(30));
  ASSERT_TRUE(life.Do(Command::kPause).ok());
  life.Wait(minutes(30));
  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.state(), ReleaseState::kPaused);
  EXPECT_EQ(Progress(life.release(), life.now()).elapsed, seconds(30));

  ASSERT_TRUE(life.Do(Command::kResume).ok());
  life.Wait(seconds(5));
  EXPECT_EQ(Progress(life.release(), life.now()).elapsed, seconds(35));
  life.Verdict(Action::kPause, "too little traffic");

  EXPECT_EQ(life.state(), ReleaseState::kPaused);
  EXPECT_EQ(life.release().reason, "too little traffic");
}

TEST(ReleaseMachine, AnothersRoutePausesAndResumeTakesItBack) {
  Life life(Canary());
  life.Ready();

  life.See({.fleet = Observation::Fleet::kReady, .route_foreign = true});
  EXPECT_EQ(life.state(), ReleaseState::kPaused);
  life.auto_confirm = false;
  ASSERT_TRUE(life.Do(Command::kResume).ok());

  EXPECT_TRUE(life.release().route_pending);
}

TEST(ReleaseMachine, ByHandEachStepWaits) {
  ReleaseSpec spec = Canary();
  spec.automatic = false;
  Life life(spec);
  life.Ready();
  life.Verdict(Action::kPromote);

  EXPECT_EQ(life.release().step, 0U);
  EXPECT_EQ(life.state(), ReleaseState::kRunning);
}

TEST(ReleaseMachine, RefusesWhatItsStateDoesNotAllow) {
  Life life(Canary());
  EXPECT_EQ(life.Do(Command::kPause).error().reason(), "release_state");
  EXPECT_EQ(life.Do(Command::kPromote).error().reason(), "release_state");
  ASSERT_TRUE(life.Do(Command::kRollBack).ok());
  EXPECT_EQ(life.state(), ReleaseState::kCancelled);
  for (const Command command :
       {Command::kPause, Command::kResume, Command::kPromote, Command::kRollBack, Command::kCancel}) {
    EXPECT_EQ(life.Do(command).error().reason(), "release_ended");
  }

  Life settling(Canary());
  settling.Ready();
  ASSERT_TRUE(settling.Do(Command::kPromote).ok());
  EXPECT_EQ(settling.Do(Command::kCancel).error().reason(), "release_state");
  EXPECT_EQ(settling.Do(Command::kResume).error().reason(), "release_state");
}

TEST(ReleaseMachine, WhileTheRouteIsPendingItOnlyGoesBack) {
  Life life(Canary());
  life.auto_confirm = false;
  life.Ready();
  ASSERT_TRUE(life.release().route_pending);

  life.Verdict(Action::kPromote);
  EXPECT_EQ(life.release().step, 0U);
  life.Verdict(Action::kRollBack);

  EXPECT_EQ(life.state(), ReleaseState::kRolledBack);
}

TEST(ReleaseMachine, ComesBackFromJsonAsItWas) {
  ReleaseSpec spec = Canary();
  spec.policy.p99_objective = std::chrono::milliseconds(250);
  spec.policy.max_error_rate.reset();
  spec.policy.custom.push_back(
      {.name = "score", .less_is_worse = false, .tolerance = 0.5, .range = Interval{.low = -1, .high = 1}});
  Life life(spec);
  life.Ready();
  life.Wait(seconds(10));
  ASSERT_TRUE(life.Do(Command::kPause).ok());

  const std::string text = life.release().ToJson();
  const auto back = Release::FromJson(text);

  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->ToJson(), text);
  EXPECT_EQ(Wanted(*back), Wanted(life.release()));
  EXPECT_EQ(Progress(*back, life.now()).elapsed, seconds(10));
  EXPECT_EQ(Release::FromJson("{}").error().reason(), "release_invalid");
}

TEST(ReleaseSpec, NamesWhatIsWrong) {
  const auto message = [](const std::string& text) {
    const auto spec = ReleaseSpec::FromJson(text);
    return spec.ok() ? std::string() : spec.error().reason() + ": " + spec.error().message();
  };
  EXPECT_EQ(message(R"({"model":"m","stable":"3","candidate":"4"})"), "");
  EXPECT_THAT(message("{"), HasSubstr("must be JSON"));
  EXPECT_THAT(message("[]"), HasSubstr("must be a JSON object"));
  EXPECT_THAT(message(R"({"modle":"m"})"), HasSubstr("unknown member 'modle'"));
  EXPECT_THAT(message(R"({"model":"m","stable":"3","candidate":"3"})"), HasSubstr("the same version"));
  EXPECT_THAT(message(R"({"model":"m","stable":"latest","candidate":"3"})"), HasSubstr("stable must be"));
  EXPECT_THAT(message(R"({"model":"m","stable":"1","candidate":"2","steps":[{"weight":500}]})"),
              HasSubstr("last step's weight"));
  EXPECT_THAT(
      message(R"({"model":"m","stable":"1","candidate":"2","steps":[{"weight":900},{"weight":500}]})"),
      HasSubstr("must grow"));
  EXPECT_THAT(message(R"({"model":"m","stable":"1","candidate":"2","analysis":{"alpha":2}})"),
              HasSubstr("release_policy"));
  EXPECT_THAT(
      message(R"({"model":"m","stable":"1","strategy":"ab","arms":[{"name":"a","version":"1","weight":1},)"
              R"({"name":"b","version":"2","weight":2}]})"),
      HasSubstr("sum to 3"));
  EXPECT_THAT(message(R"({"model":"m","stable":"1","candidate":"2","sticky":"cookie"})"),
              HasSubstr("sticky"));
  EXPECT_THAT(message(R"({"model":"m","stable":"1","candidate":"2","settle_s":-1})"), HasSubstr("settle_s"));
}

TEST(Route, TheReleasesPartReplacesItsOwnAndKeepsTheRest) {
  Life life(Of(Strategy::kShadow));
  life.Ready();
  const std::string before =
      R"({"rules":[{"tenant":"acme","version":"2"}],"stable":"3","shadows":[{"version":"9","share":5}]})";

  const auto applied = ApplyRoute(before, *Wanted(life.release()));
  ASSERT_TRUE(applied.ok());
  const json route = json::parse(*applied);
  EXPECT_EQ(route["rules"], json::parse(before)["rules"]);
  EXPECT_EQ(route["shadows"].size(), 2U);
  EXPECT_EQ(route["split"]["salt"], "r1");
  EXPECT_TRUE(*RouteAgrees(*applied, *Wanted(life.release())));
  EXPECT_FALSE(*RouteAgrees(before, *Wanted(life.release())));

  life.Verdict(Action::kPromote);
  const auto after = ApplyRoute(*applied, *Wanted(life.release()));
  EXPECT_EQ(json::parse(*after)["shadows"], json::parse(before)["shadows"]);
  EXPECT_EQ(ApplyRoute("[]", *Wanted(life.release())).error().reason(), "release_route");
}

TEST(Route, WeightsAlwaysSumToTheWhole) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    ReleaseSpec spec = Canary();
    spec.steps.clear();
    std::uint32_t weight = 0;
    while (weight < 10'000 && spec.steps.size() < 19) {
      weight = std::min<std::uint32_t>(10'000, weight + 1 + static_cast<std::uint32_t>(random() % 4000));
      spec.steps.push_back({.weight = weight});
    }
    if (weight < 10'000) spec.steps.push_back({.weight = 10'000});
    Life life(spec);
    for (int move = 0; move < 25; ++move) {
      if (life.state() == ReleaseState::kPreparing) {
        life.Ready();
      } else {
        life.Verdict(Action::kPromote);
      }
      const auto wanted = Wanted(life.release());
      ASSERT_TRUE(wanted.has_value());
      std::uint32_t sum = 0;
      for (const WantedArm& arm : wanted->arms) {
        sum += arm.weight;
        ASSERT_GT(arm.weight, 0U);
      }
      ASSERT_EQ(sum, 10'000U);
    }
    EXPECT_EQ(life.state(), ReleaseState::kSettling);
  }
}

}  // namespace
}  // namespace mezzo::releases
