#include "mezzo/sched/latency_model.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "mezzo/sched/simulator.h"

namespace mezzo::sched {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

double Ms(Duration duration) { return Seconds(duration) * 1e3; }

/// Feeds runs of base + per_row · rows with relative noise, sizes uniform in [1, most].
void Feed(LatencyFit& fit, Random& random, int runs, double base_ms, double row_ms, std::uint32_t most,
          double noise) {
  for (int i = 0; i < runs; ++i) {
    const auto rows = static_cast<std::uint32_t>(1 + random.Below(most));
    const double run = (base_ms + row_ms * rows) * std::exp(noise * random.Normal());
    fit.Learn(rows, FromSeconds(run * 1e-3));
  }
}

TEST(LatencyFit, AssumesTheGuessUntilTheFirstRun) {
  const LatencyFit fit(milliseconds(4));

  EXPECT_EQ(fit.samples(), 0u);
  EXPECT_EQ(fit.Expected(1), milliseconds(4));
  EXPECT_EQ(fit.Expected(3), milliseconds(12));
  EXPECT_GT(fit.High(1), fit.Expected(1));
}

TEST(LatencyFit, FindsBaseAndSlopeFromABadGuess) {
  Random random(3);
  LatencyFit fit(std::chrono::seconds(1));

  Feed(fit, random, 100, 2.0, 0.5, 16, 0.05);

  EXPECT_NEAR(Ms(fit.Expected(1)), 2.5, 0.2);
  EXPECT_NEAR(Ms(fit.Expected(16)), 10.0, 0.4);
}

TEST(LatencyFit, IsUnbiasedAtTheOnlySizeSeenAndCautiousBeyond) {
  LatencyFit fit(milliseconds(50));

  for (int i = 0; i < 30; ++i) fit.Learn(1, milliseconds(3));

  EXPECT_NEAR(Ms(fit.Expected(1)), 3.0, 0.01);
  EXPECT_NEAR(Ms(fit.Expected(8)), 24.0, 0.5) << "without other sizes, rows are taken to cost in proportion";
}

TEST(LatencyFit, RecoversSoonWhenASlowHostIsFastAgain) {
  Random random(11);
  LatencyFit fit(milliseconds(10));
  Feed(fit, random, 200, 40.0, 0.0, 1, 0.5);  // Starved of processor time.
  ASSERT_GT(Ms(fit.High(1)), 60.0);

  Feed(fit, random, 12, 10.0, 0.0, 1, 0.05);

  EXPECT_LT(Ms(fit.High(1)), 20.0);
}

TEST(LatencyFit, TakesTheGivenCostOfFurtherRowsUntilItSeesThem) {
  LatencyFit fit(milliseconds(10), 0.1);
  EXPECT_NEAR(Ms(fit.Expected(1)), 10.0, 0.01);
  EXPECT_NEAR(Ms(fit.Expected(11)), 20.0, 0.01);

  for (int i = 0; i < 30; ++i) fit.Learn(1, milliseconds(20));
  EXPECT_NEAR(Ms(fit.Expected(1)), 20.0, 0.5);
  EXPECT_NEAR(Ms(fit.Expected(11)), 40.0, 2.0);
}

TEST(LatencyFit, ShrugsOffASingleHang) {
  Random random(5);
  LatencyFit fit(milliseconds(1));
  Feed(fit, random, 100, 1.0, 0.25, 8, 0.03);
  const double before = Ms(fit.Expected(4));

  fit.Learn(4, std::chrono::seconds(30));

  EXPECT_LT(Ms(fit.Expected(4)), 1.1 * before);
  EXPECT_LT(Ms(fit.High(4)), 1.5 * before);
}

TEST(LatencyFit, FollowsARealChangeOfSpeed) {
  Random random(6);
  LatencyFit fit(milliseconds(1));
  Feed(fit, random, 200, 1.0, 0.25, 8, 0.03);

  Feed(fit, random, 120, 3.0, 0.75, 8, 0.03);

  EXPECT_NEAR(Ms(fit.Expected(4)), 6.0, 0.6);
}

TEST(LatencyFit, HighQuantileCoversAboutNinetyFivePercent) {
  for (const double noise : {0.02, 0.1, 0.3}) {
    Random random(9);
    LatencyFit fit(milliseconds(1));
    Feed(fit, random, 500, 1.0, 0.25, 8, noise);
    int below = 0;
    const int runs = 2000;
    for (int i = 0; i < runs; ++i) {
      const auto rows = static_cast<std::uint32_t>(1 + random.Below(8));
      const Duration run = FromSeconds((1.0 + 0.25 * rows) * std::exp(noise * random.Normal()) * 1e-3);
      if (run <= fit.High(rows)) ++below;
      fit.Learn(rows, run);
    }

    EXPECT_NEAR(static_cast<double>(below) / runs, 0.95, 0.025) << "noise " << noise;
  }
}

TEST(LatencyFit, NeverGoesNegativeOnFallingLatencies) {
  LatencyFit fit(milliseconds(1));

  for (std::uint32_t i = 0; i < 50; ++i) fit.Learn(1 + i % 8, milliseconds(9 - i % 8));

  EXPECT_GT(fit.Expected(1), Duration::zero());
  EXPECT_GE(fit.Expected(8), fit.Expected(1)) << "more rows are never predicted to be faster";
}

TEST(LatencyFit, RowsWithinIsTheInverseOfHigh) {
  Random random(4);
  LatencyFit fit(milliseconds(1));
  Feed(fit, random, 200, 1.0, 0.5, 16, 0.02);

  for (const Duration budget :
       {Duration(microseconds(900)), Duration(milliseconds(3)), Duration(milliseconds(6))}) {
    const std::uint32_t rows = fit.RowsWithin(budget, 16);
    if (rows > 0) EXPECT_LE(fit.High(rows), budget);
    if (rows < 16) EXPECT_GT(fit.High(rows + 1), budget - microseconds(1));
  }
  EXPECT_EQ(fit.RowsWithin(std::chrono::hours(1), 16), 16u);
  EXPECT_EQ(fit.RowsWithin(Duration::zero(), 16), 0u);
}

TEST(LatencyModel, KeepsKeysApartAndLetsTheModelStandInForNewOnes) {
  LatencyModel model(milliseconds(100));

  for (int i = 0; i < 40; ++i) {
    model.Learn(1, 1, milliseconds(2));
    model.Learn(2, 1, milliseconds(8));
  }

  EXPECT_NEAR(Ms(model.For(1).Expected(1)), 2, 0.1);
  EXPECT_NEAR(Ms(model.For(2).Expected(1)), 8, 0.1);
  EXPECT_GT(Ms(model.For(3).Expected(1)), 2);
  EXPECT_LT(Ms(model.For(3).Expected(1)), 8.5);
}

TEST(LatencyModel, ForgetsTheLeastRecentlyMeasuredKeyBeyondTheBound) {
  LatencyModel model(milliseconds(1), 1, 4);
  for (std::uint64_t key = 0; key < 4; ++key) model.Learn(key, 1, milliseconds(1 + key));
  model.Learn(0, 1, milliseconds(1));

  model.Learn(99, 1, milliseconds(50));

  EXPECT_EQ(model.keys(), 4u);
  EXPECT_EQ(model.For(0).samples(), 2u);
  EXPECT_EQ(&model.For(1), &model.overall()) << "key 1 was the oldest";
  EXPECT_EQ(model.For(99).samples(), 1u);
}

TEST(LatencyModel, AmortisedRowFollowsRealBatches) {
  LatencyModel model(milliseconds(5));

  for (int i = 0; i < 200; ++i) model.Learn(0, 8, milliseconds(4));

  EXPECT_NEAR(Ms(model.amortised_row()), 0.5, 0.02);
}

}  // namespace
}  // namespace mezzo::sched
