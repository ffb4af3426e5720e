#include "mezzo/releases/internal/latency_sketch.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace mezzo::releases::internal {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(LatencySketch, AQuantileIsAnUpperBoundWithinAnEighth) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(std::log2(5'000.0), std::log2(1e12));
  for (int i = 0; i < 2000; ++i) {
    const Duration latency(static_cast<std::int64_t>(std::exp2(exponent(random))));
    LatencySketch sketch;
    for (int n = 0; n < 3; ++n) sketch.Add(latency);
    const Duration found = sketch.Quantile(0.99, 1);
    EXPECT_GT(found, latency);
    EXPECT_LE(found.count(), latency.count() + latency.count() / 8 + 1);
  }
}

TEST(LatencySketch, QuantilesAreOfTheRightRank) {
  LatencySketch sketch;
  for (int n = 0; n < 98; ++n) sketch.Add(milliseconds(1));
  sketch.Add(milliseconds(10));
  sketch.Add(milliseconds(100));
  EXPECT_LT(sketch.Quantile(0.98, 1), microseconds(1126));
  EXPECT_GT(sketch.Quantile(0.99, 1), milliseconds(10));
  EXPECT_LT(sketch.Quantile(0.99, 1), microseconds(11'251));
  EXPECT_GT(sketch.Quantile(1, 1), milliseconds(100));
}

TEST(LatencySketch, FewLatenciesAndNoneAreZero) {
  LatencySketch sketch;
  EXPECT_EQ(sketch.Quantile(0.99, 0), Duration::zero());
  for (int n = 0; n < 7; ++n) sketch.Add(milliseconds(5));
  EXPECT_EQ(sketch.Quantile(0.99, 8), Duration::zero());
  sketch.Add(milliseconds(5));
  EXPECT_GT(sketch.Quantile(0.99, 8), milliseconds(5));
}

TEST(LatencySketch, WhatIsOutOfRangeIsAtItsEnds) {
  LatencySketch sketch;
  sketch.Add(Duration(-5));
  sketch.Add(Duration::zero());
  sketch.Add(Duration(4095));
  EXPECT_EQ(sketch.Quantile(1, 1), Duration(4096));
  sketch.Add(hours(10));
  EXPECT_EQ(sketch.Quantile(1, 1), Duration(std::int64_t{1} << 40));
}

TEST(LatencySketch, ForgetsWhatWasLongAgo) {
  LatencySketch sketch;
  for (int n = 0; n < 8000; ++n) sketch.Add(milliseconds(100));
  EXPECT_GT(sketch.Quantile(0.5, 1), milliseconds(100));
  for (int n = 0; n < 40'000; ++n) sketch.Add(milliseconds(1));
  EXPECT_LT(sketch.Quantile(0.99, 1), milliseconds(2));
}

}  // namespace
}  // namespace mezzo::releases::internal
