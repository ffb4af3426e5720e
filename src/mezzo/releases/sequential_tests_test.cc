// Golden values are those of tests/golden/releases/sequential.py, which computes them another way.

#include "mezzo/releases/sequential_tests.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using Random = std::mt19937_64;

ArmCount Draw(Random& random, std::uint64_t calls, double rate) {
  std::binomial_distribution<std::uint64_t> hits(calls, rate);
  return {.calls = calls, .hits = hits(random)};
}

Moments Values(std::initializer_list<double> values) {
  Moments moments;
  for (const double value : values) moments.Add(value);
  return moments;
}

/// The share of `trials` in which `reject(random)` holds.
template <typename Reject>
double ShareOf(int trials, const Reject& reject) {
  int rejected = 0;
  for (int seed = 0; seed < trials; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 1);
    if (reject(random)) ++rejected;
  }
  return static_cast<double>(rejected) / trials;
}

TEST(TwoProportionTest, AgreesWithExactFractions) {
  TwoProportionTest test({}, 1);
  TwoProportionTest tolerant({}, 1.5);
  for (TwoProportionTest* each : {&test, &tolerant}) {
    each->Add({10, 1}, {190, 0});
    each->Add({10, 2}, {190, 1});
    each->Add({12, 0}, {180, 0});
    each->Add({9, 1}, {200, 1});
  }
  TwoProportionTest large({}, 1);
  large.Add({3000, 90}, {2000, 40});

  EXPECT_NEAR(test.evidence().log_now, 8.07084190660992, 1e-9);
  EXPECT_NEAR(tolerant.evidence().log_now, 6.773291316489333, 1e-9);
  EXPECT_NEAR(large.evidence().log_now, -1.2327059362002581, 1e-7);
}

TEST(TwoProportionTest, OneLookMultipliesByTheCapAtMost) {
  TwoProportionTest test({}, 1);

  test.Add({10, 10}, {100, 0});

  EXPECT_NEAR(test.evidence().log_now, 4.596186345043065, 1e-9);
  EXPECT_LE(test.evidence().log_now, std::log(100));
}

TEST(TwoProportionTest, HoldsBatchesBackUntilBothArmsHaveCalls) {
  TwoProportionTest slow({}, 1);
  slow.Add({3, 1}, {0, 0});
  slow.Add({0, 0}, {10, 0});
  EXPECT_EQ(slow.evidence(), Evidence());
  slow.Add({2, 0}, {5, 0});

  TwoProportionTest at_once({}, 1);
  at_once.Add({5, 1}, {15, 0});

  EXPECT_EQ(slow.evidence(), at_once.evidence());
  EXPECT_GT(slow.evidence().log_now, 0);
}

TEST(TwoProportionTest, HitsOfAllOrNoneTellNothing) {
  TwoProportionTest test({}, 1);

  test.Add({50, 0}, {50, 0});
  test.Add({50, 50}, {50, 50});

  EXPECT_EQ(test.evidence(), Evidence());
}

TEST(TwoProportionTest, PValueNeverGrows) {
  Random random(7);
  TwoProportionTest test({}, 1);
  double before = 1;
  for (int look = 0; look < 500; ++look) {
    test.Add(Draw(random, 20, 0.1), Draw(random, 20, 0.05));
    EXPECT_LE(test.evidence().p_value(), before);
    EXPECT_GE(test.evidence().p_now(), test.evidence().p_value());
    before = test.evidence().p_value();
  }
  EXPECT_LT(before, 0.01);
}

TEST(TwoProportionTest, RejectsEqualArmsSeldomThoughItLooksAtEachBatch) {
  // Rates that drift tenfold, arms of different and changing size.
  const double share = ShareOf(2000, [](Random& random) {
    TwoProportionTest test({}, 1);
    for (int look = 0; look < 200; ++look) {
      const double rate = 0.02 * std::pow(10, std::sin(look / 20.0) / 2);
      const std::uint64_t calls = 5 + random() % 20;
      test.Add(Draw(random, calls, rate), Draw(random, 10 * calls, rate));
      if (test.evidence().p_value() <= 0.05) return true;
    }
    return false;
  });

  EXPECT_LE(share, 0.05 + 3 * std::sqrt(0.05 * 0.95 / 2000));
}

TEST(TwoProportionTest, FindsManyMoreErrorsWithinSeconds) {
  // 0.1 % to 2 % at 5 % of 200 calls a second.
  std::vector<int> delays;
  ShareOf(300, [&](Random& random) {
    TwoProportionTest test({}, 1);
    int second = 0;
    while (second < 600 && test.evidence().p_value() > 0.01) {
      test.Add(Draw(random, 10, 0.02), Draw(random, 190, 0.001));
      ++second;
    }
    delays.push_back(second);
    return false;
  });
  std::sort(delays.begin(), delays.end());

  EXPECT_LE(delays[delays.size() / 2], 16);
  EXPECT_LE(delays[delays.size() * 99 / 100], 60);
}

TEST(CeilingTest, AgreesWithExactFractions) {
  CeilingTest test({}, 0.01);

  test.Add({100, 3});
  test.Add({100, 2});

  EXPECT_NEAR(test.evidence().log_now, -0.933524482489276, 1e-9);
}

TEST(CeilingTest, RejectsAnArmAtTheLimitSeldomAndOneBeyondItSurely) {
  const auto reject = [](double rate) {
    return [rate](Random& random) {
      CeilingTest test({}, 0.01);
      for (int look = 0; look < 300; ++look) {
        test.Add(Draw(random, 10, rate));
        if (test.evidence().p_value() <= 0.05) return true;
      }
      return false;
    };
  };

  EXPECT_LE(ShareOf(2000, reject(0.01)), 0.05 + 3 * std::sqrt(0.05 * 0.95 / 2000));
  EXPECT_GE(ShareOf(200, reject(0.05)), 0.99);
}

TEST(MeanShiftTest, AgreesWithNumericIntegration) {
  const Moments first = Values({0.5, 0.75, 1.0, 0.25, 0.75});
  const Moments second = Values({0.25, 0.5, 0.0, 0.5, 0.25, 0.0});
  const MeanShiftTest::Options options{.sub_gaussian = 0.5, .expected_shift = 0.2, .min_batch = 2};
  MeanShiftTest worse(options);
  MeanShiftTest better(options);

  for (int i = 0; i < 2; ++i) worse.Add(first, second);
  for (int i = 0; i < 3; ++i) better.Add(second, first);

  EXPECT_NEAR(worse.evidence().log_now, 0.6655828414887991, 1e-6);
  EXPECT_NEAR(better.evidence().log_now, -0.8592080819418957, 1e-6);
  EXPECT_EQ(better.evidence().p_value(), 1);
}

TEST(MeanShiftTest, LessIsWorseLooksTheOtherWay) {
  const MeanShiftTest::Options up{.sub_gaussian = 0.5, .min_batch = 2};
  MeanShiftTest::Options down = up;
  down.less_is_worse = true;
  const Moments low = Values({0.1, 0.2, 0.1});
  const Moments high = Values({0.8, 0.9, 0.9});
  MeanShiftTest first(up);
  MeanShiftTest second(down);

  first.Add(high, low);
  second.Add(low, high);

  EXPECT_DOUBLE_EQ(first.evidence().log_now, second.evidence().log_now);
  EXPECT_GT(first.evidence().log_now, 0);
}

TEST(MeanShiftTest, RejectsEqualArmsSeldomWithEstimatedDeviation) {
  const double share = ShareOf(800, [](Random& random) {
    std::gamma_distribution<double> costs(2.0, 1.0);
    MeanShiftTest test({});
    for (int look = 0; look < 200; ++look) {
      Moments arms[2];
      for (Moments& arm : arms) {
        for (int i = 0; i < 10; ++i) arm.Add(costs(random));
      }
      test.Add(arms[0], arms[1]);
      if (test.evidence().p_value() <= 0.05) return true;
    }
    return false;
  });

  EXPECT_LE(share, 0.05 + 3 * std::sqrt(0.05 * 0.95 / 800));
}

TEST(MeanShiftTest, FindsAShiftAndToleratesASmallOne) {
  const auto reject = [](double factor) {
    return [factor](Random& random) {
      std::gamma_distribution<double> costs(4.0, 1.0);
      MeanShiftTest test({.tolerance = 0.1});
      for (int look = 0; look < 200; ++look) {
        Moments canary;
        Moments baseline;
        for (int i = 0; i < 10; ++i) canary.Add(factor * costs(random));
        for (int i = 0; i < 10; ++i) baseline.Add(costs(random));
        test.Add(canary, baseline);
        if (test.evidence().p_value() <= 0.01) return true;
      }
      return false;
    };
  };

  EXPECT_GE(ShareOf(200, reject(1.5)), 0.99);
  EXPECT_LE(ShareOf(500, reject(1.05)), 0.01);
}

TEST(MeanShiftTest, SingleOutliersAreNoShift) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> even(10, 14);
  const auto batch = [&](int count, int outliers) {
    Moments moments;
    for (int i = 0; i < count; ++i) moments.Add(i < outliers ? 15'000 : even(random));
    return moments;
  };
  MeanShiftTest outliers({.tolerance = 10});
  MeanShiftTest shifted({.tolerance = 10});
  for (int i = 0; i < 4; ++i) {  // The warm-up.
    for (MeanShiftTest* test : {&outliers, &shifted}) test->Add(batch(25, 0), batch(25, 0));
  }
  for (int i = 0; i < 3; ++i) {
    outliers.Add(batch(15, 1), batch(15, 0));
    Moments slow;
    for (int value = 0; value < 15; ++value) slow.Add(20 * even(random));
    shifted.Add(slow, batch(15, 0));
  }
  EXPECT_GT(outliers.evidence().p_value(), 0.05);
  EXPECT_LT(shifted.evidence().p_value(), 0.01);
}

TEST(MeanShiftTest, ConstantValuesAreComparedToo) {
  MeanShiftTest equal({});
  MeanShiftTest doubled({});
  Moments one;
  Moments two;
  for (int i = 0; i < 50; ++i) one.Add(1);
  for (int i = 0; i < 50; ++i) two.Add(2);

  for (int look = 0; look < 20; ++look) {
    equal.Add(one, one);
    doubled.Add(two, one);
  }

  EXPECT_EQ(equal.evidence().p_value(), 1);
  EXPECT_LT(doubled.evidence().p_value(), 1e-3);
}

TEST(SampleRatioTest, AgreesWithAnUrn) {
  SampleRatioTest test;
  const double shares[] = {0.05, 0.05, 0.9};
  const std::uint64_t first[] = {60, 52, 900};
  const std::uint64_t second[] = {10, 20, 300};

  test.Expect(shares);
  test.Add(first);
  test.Add(second);

  EXPECT_NEAR(test.evidence().log_now, -2.5054784845855655, 1e-8);
}

TEST(SampleRatioTest, FindsAWrongSplitAndKeepsQuietOverStepsOfARightOne) {
  const auto reject = [](double real_factor) {
    return [real_factor](Random& random) {
      SampleRatioTest test;
      for (const double share : {0.05, 0.25}) {
        const double shares[] = {share, share, 1 - 2 * share};
        test.Expect(shares);
        for (int look = 0; look < 100; ++look) {
          std::binomial_distribution<std::uint64_t> first(200, share * real_factor);
          const std::uint64_t canary = first(random);
          std::binomial_distribution<std::uint64_t> second(200 - canary, share / (1 - share * real_factor));
          const std::uint64_t baseline = second(random);
          const std::uint64_t batch[] = {canary, baseline, 200 - canary - baseline};
          test.Add(batch);
          if (test.evidence().p_value() <= 0.05) return true;
        }
      }
      return false;
    };
  };

  EXPECT_LE(ShareOf(1000, reject(1)), 0.05 + 3 * std::sqrt(0.05 * 0.95 / 1000));
  EXPECT_GE(ShareOf(100, reject(1.3)), 0.99);
}

TEST(Intervals, OfARateAreWhereTheMixtureRejects) {
  const Interval some = RateInterval({100, 3}, 0.01);
  const Interval none = RateInterval({50, 0}, 0.05);

  EXPECT_NEAR(some.low, 0.001071, 2e-6);
  EXPECT_NEAR(some.high, 0.141034, 2e-6);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.104642, 2e-6);
  EXPECT_EQ(RateInterval({0, 0}, 0.05), (Interval{.low = 0, .high = 1}));
}

TEST(Intervals, HoldTheTruthAtAllLooksTogether) {
  const double lost = ShareOf(1000, [](Random& random) {
    std::lognormal_distribution<double> latencies(-3, 0.5);  // Median exp(−3).
    LatencyHistogram histogram;
    ArmCount seen;
    for (int look = 0; look < 60; ++look) {
      for (int i = 0; i < 20; ++i) histogram.Add(FromSeconds(latencies(random)));
      seen += Draw(random, 20, 0.1);
      const Interval median = QuantileInterval(histogram, 0.5, 0.025);
      const Interval rate = RateInterval(seen, 0.025);
      if (median.low > std::exp(-3) || median.high < std::exp(-3)) return true;
      if (rate.low > 0.1 || rate.high < 0.1) return true;
    }
    return false;
  });

  EXPECT_LE(lost, 0.05 + 3 * std::sqrt(0.05 * 0.95 / 1000));
}

TEST(Intervals, OfQuantilesNarrowWithCalls) {
  LatencyHistogram few;
  LatencyHistogram many;
  for (int i = 1; i <= 100; ++i) {
    few.Add(std::chrono::milliseconds(i));
    many.Add(std::chrono::milliseconds(i), 1000);
  }

  const Interval wide = QuantileInterval(few, 0.5, 0.01);
  const Interval narrow = QuantileInterval(many, 0.5, 0.01);

  EXPECT_LT(wide.low, narrow.low);
  EXPECT_GT(wide.high, narrow.high);
  EXPECT_NEAR(narrow.low, 0.05, 0.002);
  EXPECT_NEAR(narrow.high, 0.05, 0.002);
  EXPECT_EQ(QuantileInterval(LatencyHistogram(), 0.5, 0.01).low, 0);
}

TEST(Intervals, OfAMeanCoverItAndNeedTwoValues) {
  Moments moments;
  for (int i = 0; i < 1000; ++i) moments.Add(i % 2);

  const Interval interval = MeanInterval(moments, 0.01);

  EXPECT_LT(interval.low, 0.5);
  EXPECT_GT(interval.high, 0.5);
  EXPECT_LT(interval.high - interval.low, 0.2);
  EXPECT_TRUE(std::isinf(MeanInterval(Moments(), 0.01).high));
}

}  // namespace
}  // namespace mezzo::releases
