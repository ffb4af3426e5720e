#include "mezzo/releases/analysis.h"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

/// What calls of an arm are like.
struct Behaviour {
  double error_rate = 0.001;
  double median_ms = 20;
  double spread = 0.4;  ///< Of the logarithm.
  double cost = 0.01;
};

/// Traffic over a split, a second at a time.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  void Second(const Shares& shares, double calls, const Behaviour& canary, const Behaviour& stable) {
    Calls(totals_.canary, calls * shares.canary, canary);
    Calls(totals_.baseline, calls * shares.baseline, stable);
    Calls(totals_.stable, calls * shares.stable, stable);
  }
  [[nodiscard]] const ArmTotals& totals() const { return totals_; }
  ArmTotals& totals() { return totals_; }

 private:
  void Calls(OutcomeSummary& arm, double mean, const Behaviour& behaviour) {
    const auto calls = std::poisson_distribution<std::uint64_t>(mean > 0 ? mean : 1e-9)(random_);
    std::lognormal_distribution<double> latency(std::log(behaviour.median_ms / 1000), behaviour.spread);
    std::uniform_real_distribution<double> even;
    for (std::uint64_t i = 0; i < calls; ++i) {
      ++arm.calls;
      if (even(random_) < behaviour.error_rate) {
        ++arm.errors;
      } else {
        arm.latency.Add(FromSeconds(latency(random_)));
      }
      arm.cost.Add(behaviour.cost * (0.5 + even(random_)));
    }
  }

  std::mt19937_64 random_;
  ArmTotals totals_;
};

constexpr Shares kFivePercent{.canary = 0.05, .baseline = 0.05, .stable = 0.9};

StepProgress At(int second) {
  return {.elapsed = seconds(second),
          .min_duration = seconds(60),
          .max_duration = seconds(3600),
          .min_calls = 100};
}

const MetricEvidence& Metric(const Verdict& verdict, const std::string& name) {
  for (const MetricEvidence& metric : verdict.evidence) {
    if (metric.metric == name) return metric;
  }
  ADD_FAILURE() << "no evidence of " << name;
  static const MetricEvidence kNone;
  return kNone;
}

/// Seconds until `action`, or `limit`.
int Until(Action action, World& world, Analysis& analysis, const Behaviour& canary, const Behaviour& stable,
          int limit, Verdict* last = nullptr) {
  for (int second = 1; second <= limit; ++second) {
    world.Second(kFivePercent, 200, canary, stable);
    auto verdict = analysis.Look(world.totals(), At(second));
    EXPECT_TRUE(verdict.ok()) << verdict.error().ToString();
    if (last != nullptr) *last = *verdict;
    if (verdict->action == action) return second;
  }
  return limit;
}

Analysis Begun(const AnalysisPolicy& policy = {}, const Shares& shares = kFivePercent) {
  Analysis analysis(policy);
  analysis.BeginStep(shares);
  return analysis;
}

TEST(Analysis, PromotesAnEqualVersionWhenTheStepIsLongEnough) {
  World world(1);
  Analysis analysis = Begun();
  Verdict verdict;

  const int second = Until(Action::kPromote, world, analysis, {}, {}, 120, &verdict);

  EXPECT_GE(second, 60);
  EXPECT_LT(second, 120);
  EXPECT_GT(verdict.step_calls, 100U);
  EXPECT_THAT(verdict.reason, HasSubstr("no test found it worse"));
}

TEST(Analysis, RollsBackACanaryThatFailsMoreOften) {
  World world(2);
  Analysis analysis = Begun();
  Verdict verdict;

  const int second = Until(Action::kRollBack, world, analysis, {.error_rate = 0.1}, {}, 60, &verdict);

  EXPECT_LT(second, 15);
  const MetricEvidence& errors = Metric(verdict, "error_rate");
  EXPECT_TRUE(errors.crossed);
  EXPECT_LE(errors.p_value, errors.threshold);
  EXPECT_GT(errors.canary_interval.low, errors.baseline);
  EXPECT_THAT(verdict.reason, HasSubstr("the canary fails more often"));
}

TEST(Analysis, RollsBackACanaryThatIsSlower) {
  World world(3);
  Analysis analysis = Begun();
  Verdict verdict;

  const int second = Until(Action::kRollBack, world, analysis, {.median_ms = 40}, {}, 60, &verdict);

  EXPECT_LT(second, 30);
  EXPECT_TRUE(Metric(verdict, "latency_p50").crossed || Metric(verdict, "latency_p99").crossed);
}

TEST(Analysis, RollsBackACanaryWithALongerTailOnly) {
  World world(4);
  Analysis analysis = Begun();
  Verdict verdict;

  const int second = Until(Action::kRollBack, world, analysis, {.spread = 0.7}, {}, 300, &verdict);

  EXPECT_LT(second, 120);
  EXPECT_TRUE(Metric(verdict, "latency_p99").crossed);
  EXPECT_GT(Metric(verdict, "latency_p50").p_value, 0.005);
}

TEST(Analysis, RollsBackACanaryThatCostsMore) {
  World world(5);
  Analysis analysis = Begun();
  Verdict verdict;

  Until(Action::kRollBack, world, analysis, {.cost = 0.02}, {}, 120, &verdict);

  EXPECT_TRUE(Metric(verdict, "cost").crossed);
}

TEST(Analysis, SlownessWithinTheToleranceIsNotHeldAgainstIt) {
  World world(6);
  Analysis analysis = Begun();
  Verdict verdict;

  Until(Action::kRollBack, world, analysis, {.median_ms = 21}, {}, 300, &verdict);

  EXPECT_EQ(verdict.action, Action::kPromote) << verdict.reason;
}

TEST(Analysis, DriftOfBothArmsIsNotHeldAgainstIt) {
  World world(7);
  Analysis analysis = Begun({.max_error_rate = std::nullopt});
  for (int second = 1; second <= 300; ++second) {
    const double load = 1 + std::sin(second / 50.0);
    const Behaviour now{.error_rate = 0.002 + 0.02 * load, .median_ms = 20 + 20 * load};
    world.Second(kFivePercent, 200, now, now);
    const auto verdict = analysis.Look(world.totals(), At(second));
    ASSERT_TRUE(verdict.ok());
    ASSERT_NE(verdict->action, Action::kRollBack) << verdict->reason;
  }
}

TEST(Analysis, AGuardrailRollsBackUnlessTheStableVersionBreaksItToo) {
  World bad(8);
  Analysis alone = Begun({.tolerated_error_odds = 100});  // No other test can see it.
  Verdict verdict;
  Until(Action::kRollBack, bad, alone, {.error_rate = 0.05}, {}, 300, &verdict);
  EXPECT_TRUE(Metric(verdict, "max_error_rate").crossed);
  EXPECT_EQ(verdict.action, Action::kRollBack);

  World both(9);
  Analysis shared = Begun();
  Until(Action::kPause, both, shared, {.error_rate = 0.05}, {.error_rate = 0.05}, 300, &verdict);
  EXPECT_EQ(verdict.action, Action::kPause);
  EXPECT_THAT(verdict.reason, HasSubstr("the stable version breaks the limit, too"));

  shared.Acknowledge();
  both.Second(kFivePercent, 200, {}, {});
  EXPECT_NE(shared.Look(both.totals(), At(1))->action, Action::kPause);
}

TEST(Analysis, TheObjectiveIsAGuardrail) {
  World world(10);
  Analysis analysis = Begun({.tolerated_slowdown = 10, .p99_objective = milliseconds(100)});
  Verdict verdict;

  Until(Action::kRollBack, world, analysis, {.median_ms = 60}, {}, 120, &verdict);

  EXPECT_TRUE(Metric(verdict, "p99_objective").crossed);
  EXPECT_EQ(verdict.action, Action::kRollBack);
}

TEST(Analysis, TooLittleTrafficHoldsThenPausesAndSaysSo) {
  World world(11);
  Analysis analysis = Begun();
  for (int i = 0; i < 20; ++i) world.Second(kFivePercent, 4, {}, {});

  const auto early = analysis.Look(world.totals(), At(300));
  const auto late = analysis.Look(world.totals(), At(3600));

  ASSERT_TRUE(early.ok() && late.ok());
  EXPECT_EQ(early->action, Action::kHold);
  EXPECT_TRUE(early->insufficient);
  EXPECT_EQ(late->action, Action::kPause);
  EXPECT_TRUE(late->insufficient);
  EXPECT_THAT(late->reason, HasSubstr("Too little traffic"));
}

TEST(Analysis, AWrongSplitPauses) {
  World world(12);
  Analysis analysis = Begun();
  Verdict verdict;
  for (int second = 1; second <= 100; ++second) {
    world.Second({.canary = 0.08, .baseline = 0.05, .stable = 0.87}, 200, {}, {});
    verdict = *analysis.Look(world.totals(), At(second));
    if (verdict.action == Action::kPause) break;
  }

  EXPECT_EQ(verdict.action, Action::kPause);
  EXPECT_TRUE(Metric(verdict, "sample_ratio").crossed);
}

TEST(Analysis, AWorseScoreRollsBack) {
  AnalysisPolicy policy;
  policy.custom.push_back(
      {.name = "stars", .less_is_worse = true, .tolerance = 0, .range = Interval{.low = 1, .high = 5}});
  World world(13);
  Analysis analysis = Begun(policy);
  std::mt19937_64 random(13);
  Verdict verdict;
  for (int second = 1; second <= 400; ++second) {
    world.Second(kFivePercent, 200, {}, {});
    world.totals().canary.custom[0].Add(static_cast<double>(random() % 2 + 2));
    world.totals().baseline.custom[0].Add(static_cast<double>(random() % 2 + 4));
    verdict = *analysis.Look(world.totals(), At(second));
    if (verdict.action == Action::kRollBack) break;
  }

  EXPECT_TRUE(Metric(verdict, "custom:stars").crossed) << verdict.reason;
}

TEST(Analysis, GoesOnFromItsStateWithoutADifference) {
  World world(14);
  AnalysisPolicy policy;
  policy.custom.push_back({.name = "score", .less_is_worse = true, .tolerance = 0.1, .range = std::nullopt});
  policy.p99_objective = milliseconds(200);
  Analysis through = Begun(policy);
  Analysis handed_over = Begun(policy);
  for (int second = 1; second <= 80; ++second) {
    world.Second(kFivePercent, 200, {.error_rate = 0.004}, {});
    world.totals().canary.custom[0].Add(0.25 * second);
    world.totals().baseline.custom[0].Add(0.2 * second);
    if (second == 40) {
      const Shares more{.canary = 0.25, .baseline = 0.25, .stable = 0.5};
      through.BeginStep(more);
      handed_over.BeginStep(more);
    }
    const auto first = through.Look(world.totals(), At(second));
    auto resumed = Analysis::Resume(policy, handed_over.State());
    ASSERT_TRUE(resumed.ok()) << resumed.error().ToString();
    handed_over = std::move(*resumed);
    const auto second_verdict = handed_over.Look(world.totals(), At(second));
    ASSERT_EQ(first->ToJson(), second_verdict->ToJson());
  }
}

TEST(Analysis, RefusesAStateThatIsNone) {
  const std::string state = Begun().State();
  EXPECT_EQ(Analysis::Resume({}, "{}").error().reason(), "release_analysis_invalid");
  EXPECT_EQ(Analysis::Resume({}, "nonsense").error().reason(), "release_analysis_invalid");
  AnalysisPolicy other;
  other.custom.push_back({.name = "x", .less_is_worse = true, .tolerance = 0, .range = std::nullopt});
  EXPECT_EQ(Analysis::Resume(other, state).error().reason(), "release_analysis_invalid");
}

TEST(Analysis, RefusesTotalsThatHaveShrunk) {
  World world(15);
  Analysis analysis = Begun();
  world.Second(kFivePercent, 2000, {}, {});
  ASSERT_TRUE(analysis.Look(world.totals(), At(1)).ok());

  EXPECT_EQ(analysis.Look(ArmTotals(), At(2)).error().reason(), "release_outcomes_invalid");
}

TEST(Analysis, EqualVersionsAreSeldomRolledBackThoughItLooksEachSecond) {
  int rolled_back = 0;
  constexpr int kReleases = 60;
  for (int seed = 0; seed < kReleases; ++seed) {
    World world(1000 + static_cast<std::uint64_t>(seed));
    Analysis analysis = Begun();
    for (int second = 1; second <= 100; ++second) {
      world.Second(kFivePercent, 200, {}, {});
      const auto verdict = analysis.Look(world.totals(), At(second));
      if (verdict->action == Action::kRollBack) {
        ++rolled_back;
        break;
      }
    }
  }

  EXPECT_LE(rolled_back, 0.05 * kReleases + 3 * std::sqrt(kReleases * 0.05 * 0.95));
}

TEST(AnalysisPolicy, NamesWhatIsWrong) {
  const auto reason = [](AnalysisPolicy policy) {
    const auto checked = policy.Check();
    EXPECT_TRUE(checked.ok() || checked.error().reason() == "release_policy");
    return checked.ok() ? std::string() : checked.error().message();
  };
  EXPECT_EQ(reason({}), "");
  EXPECT_THAT(reason({.alpha = 0.01}), HasSubstr("alpha_per_set"));
  EXPECT_THAT(reason({.alpha = 0}), HasSubstr("alpha must"));
  EXPECT_THAT(reason({.tolerated_error_odds = 0.5}), HasSubstr("tolerated_error_odds"));
  EXPECT_THAT(reason({.max_error_rate = 1.5}), HasSubstr("max_error_rate"));
  AnalysisPolicy twice;
  twice.custom = {{.name = "a", .range = std::nullopt}, {.name = "a", .range = std::nullopt}};
  EXPECT_THAT(reason(twice), HasSubstr("named twice"));
}

/// Pictures of a shadow, a look at each; how many it took to be rolled back, or `limit`.
int LooksUntilRolledBack(double share_unlike, int limit, std::uint64_t seed, Verdict* last = nullptr) {
  AnalysisPolicy policy;
  policy.min_likeness = 0.8;
  policy.check_sample_ratio = false;
  Analysis analysis(policy);
  analysis.BeginStep({.canary = 0, .baseline = 0, .stable = 1});
  ArmTotals totals;
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> even;
  for (int look = 1; look <= limit; ++look) {
    for (OutcomeSummary* arm : {&totals.canary, &totals.stable}) {
      ++arm->calls;
      arm->latency.Add(milliseconds(100));
      arm->cost.Add(0.1);
    }
    const double likeness = even(random) < share_unlike ? 0.6 : 0.9;
    ++totals.canary.likeness[LikenessBucket(likeness)];
    const auto verdict = analysis.Look(totals, At(look));
    EXPECT_TRUE(verdict.ok());
    if (last != nullptr) *last = *verdict;
    if (verdict->action == Action::kRollBack) return look;
  }
  return limit;
}

TEST(Analysis, PicturesThatAreOthersRollAShadowBackSoonAndPicturesAlikeDoNot) {
  Verdict verdict;
  EXPECT_LE(LooksUntilRolledBack(1, 200, 1, &verdict), 6);
  EXPECT_THAT(verdict.reason, HasSubstr("min_likeness"));
  const MetricEvidence& seen = Metric(verdict, "min_likeness");
  EXPECT_EQ(seen.canary, 1);
  EXPECT_TRUE(seen.crossed);
  int wrong = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) wrong += LooksUntilRolledBack(0.05, 300, seed) < 300;
  EXPECT_LE(wrong, 2) << "at a level of 0.005 each";
}

TEST(Analysis, TheLikenessThatIsAskedForIsEnough) {
  AnalysisPolicy policy;
  policy.min_likeness = 0.8;
  Analysis analysis(policy);
  ArmTotals totals;
  totals.canary.calls = 50;
  totals.canary.likeness[LikenessBucket(0.8)] = 50;
  const auto verdict = analysis.Look(totals, At(1));
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(Metric(*verdict, "min_likeness").canary, 0);
  const auto resumed = Analysis::Resume(policy, analysis.State());
  ASSERT_TRUE(resumed.ok());
  EXPECT_EQ(resumed->State(), analysis.State());
}

TEST(AnalysisPolicy, ALikenessIsInSteps) {
  const auto reason = [](double value) {
    AnalysisPolicy policy;
    policy.min_likeness = value;
    const auto checked = policy.Check();
    return checked.ok() ? std::string("ok") : checked.error().reason() + ": " + checked.error().message();
  };
  for (const double good : {0.05, 0.3, 0.8, 0.95}) EXPECT_EQ(reason(good), "ok") << good;
  for (const double bad : {0.0, 1.0, 0.82, -0.5, std::nan("")}) {
    EXPECT_EQ(reason(bad), "release_policy: min_likeness must be 0.05 to 0.95, in steps of 0.05") << bad;
  }
}

TEST(Analysis, WhatTheCacheAnswersIsNotHeldAgainstTheSplit) {
  // 10,000 calls by an even split, of which the stable version's warm cache answers nine in ten.
  for (const bool counted : {true, false}) {
    AnalysisPolicy policy;
    Analysis analysis(policy);
    analysis.BeginStep({.canary = 0.5, .baseline = 0.5, .stable = 0});
    ArmTotals totals;
    for (int i = 0; i < 5000; ++i) {
      ++totals.canary.calls;
      totals.canary.latency.Add(milliseconds(10));
      if (i % 10 == 0) {
        ++totals.baseline.calls;
        totals.baseline.latency.Add(milliseconds(10));
      } else if (counted) {
        ++totals.baseline.kept;
      }
    }
    const auto verdict = analysis.Look(totals, At(1));
    ASSERT_TRUE(verdict.ok());
    EXPECT_EQ(Metric(*verdict, "sample_ratio").crossed, !counted);
    EXPECT_EQ(verdict->action == Action::kPause, !counted);
  }
}

}  // namespace
}  // namespace mezzo::releases
