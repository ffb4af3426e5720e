#include "mezzo/sched/batch_sizer.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "mezzo/sched/simulator.h"

namespace mezzo::sched {
namespace {

using RunMs = std::function<double(double rows)>;

/// Full batches at the sizer's limit; the mean cost of a row over the last `counted` of `runs`, in ms.
double RowCost(BatchSizer& sizer, const RunMs& run, std::uint32_t max_rows, double noise, int runs,
               int counted, std::uint64_t seed = 1) {
  Random random(seed);
  double rows_done = 0;
  double time = 0;
  for (int i = 0; i < runs; ++i) {
    const std::uint32_t rows = sizer.Limit(max_rows);
    const double took = run(rows) * std::exp(noise * random.Normal());
    sizer.Learn(rows, FromSeconds(took * 1e-3));
    if (i < runs - counted) continue;
    rows_done += rows;
    time += took;
  }
  return time / rows_done;
}

TEST(BatchSizer, AsksForFullBatchesUntilItKnowsBetter) {
  BatchSizer sizer;
  EXPECT_EQ(sizer.Limit(32), 32u);
  sizer.Learn(1, std::chrono::milliseconds(1));
  sizer.Learn(1, std::chrono::milliseconds(1));
  EXPECT_EQ(sizer.Limit(32), 32u) << "light traffic says nothing about large batches";
}

TEST(BatchSizer, KeepsLargeBatchesWhereTheyPay) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    BatchSizer sizer;
    const double cost = RowCost(sizer, [](double n) { return 10 + 0.1 * n; }, 32, 0.1, 2000, 1500, seed);
    EXPECT_LT(cost, 1.04 * (10 + 0.1 * 32) / 32) << "seed " << seed;
  }
}

TEST(BatchSizer, FindsTheKneeBeyondWhichRowsGetDearer) {
  // Cheapest at 8: 4.0 + a base of 1, and beyond 8 rows caches overflow.
  const RunMs run = [](double n) { return 1 + 4 * n + (n > 8 ? 1.2 * (n - 8) : 0); };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    BatchSizer sizer;
    const double cost = RowCost(sizer, run, 32, 0.1, 300, 250, seed);
    EXPECT_LT(cost, 1.05 * run(8) / 8) << "seed " << seed;
  }
}

TEST(BatchSizer, PrefersTheSmallerOfEquals) {
  BatchSizer sizer;
  RowCost(sizer, [](double n) { return 4 * n; }, 64, 0, 400, 1);
  EXPECT_LE(sizer.Limit(64), 2u);
}

TEST(BatchSizer, FollowsAModelThatChanges) {
  BatchSizer sizer;
  RowCost(sizer, [](double n) { return 4 * n + 0.01 * n * n; }, 32, 0.05, 500, 1);
  const RunMs later = [](double n) { return 20 + 0.2 * n; };
  const double cost = RowCost(sizer, later, 32, 0.05, 4000, 1000);
  EXPECT_LT(cost, 1.1 * later(32) / 32);
}

TEST(BatchSizer, LimitsStayWithinBounds) {
  Random random(9);
  BatchSizer sizer;
  for (int i = 0; i < 20000; ++i) {
    sizer.Learn(static_cast<std::uint32_t>(1 + random.Below(5000)), FromSeconds(random.Uniform()));
    const std::uint32_t max_rows = static_cast<std::uint32_t>(1 + random.Below(5000));
    ASSERT_GE(sizer.Limit(max_rows), 1u);
    ASSERT_LE(sizer.Limit(max_rows), max_rows);
  }
}

}  // namespace
}  // namespace mezzo::sched
