#include "mezzo/app/cli/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST(LatencyHistogram, QuantilesAreWithinOnePercentOfTheRecordedValues) {
  LatencyHistogram histogram;
  std::vector<std::int64_t> values;
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const double exponent = 2 + 9 * static_cast<double>(random() >> 11) * 0x1p-53;  // 100 ns to 100 s.
    values.push_back(static_cast<std::int64_t>(std::pow(10.0, exponent)));
    histogram.Record(nanoseconds(values.back()));
  }
  std::sort(values.begin(), values.end());

  for (const double q : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(q).count()), exact, exact * 0.01) << q;
  }
}

TEST(LatencyHistogram, EveryValueLiesInItsBucket) {
  for (std::int64_t value :
       {0L, 1L, 255L, 256L, 257L, 511L, 512L, 1023L, 65'537L, 1'000'000'007L, 2'000'000'000'000L}) {
    LatencyHistogram histogram;
    histogram.Record(nanoseconds(value));

    const auto buckets = histogram.NonEmpty();
    ASSERT_EQ(buckets.size(), 1u);
    EXPECT_LE(buckets[0].lower, nanoseconds(value));
    EXPECT_GT(buckets[0].upper, nanoseconds(value));
    EXPECT_LE(static_cast<double>((buckets[0].upper - buckets[0].lower).count()),
              std::max(1.0, static_cast<double>(value) / 100));
  }
}

TEST(LatencyHistogram, BucketsJoinWithoutGaps) {
  LatencyHistogram histogram;
  for (std::int64_t value = 0; value < 5000; ++value) histogram.Record(nanoseconds(value));

  const auto buckets = histogram.NonEmpty();
  for (std::size_t i = 1; i < buckets.size(); ++i) EXPECT_EQ(buckets[i].lower, buckets[i - 1].upper);
}

TEST(LatencyHistogram, KeepsExtremesAndMeanExactly) {
  LatencyHistogram histogram;
  histogram.Record(nanoseconds(1'234'567));
  histogram.Record(nanoseconds(9'876'543), 3);
  histogram.Record(nanoseconds(-5));  // Clocks of other threads: counts as zero.

  EXPECT_EQ(histogram.count(), 5u);
  EXPECT_EQ(histogram.min(), nanoseconds(0));
  EXPECT_EQ(histogram.max(), nanoseconds(9'876'543));
  EXPECT_EQ(histogram.Quantile(1), nanoseconds(9'876'543));
  EXPECT_EQ(histogram.Mean(), nanoseconds((1'234'567 + 3 * 9'876'543 + 2) / 5));
}

TEST(LatencyHistogram, AddingIsRecordingBoth) {
  LatencyHistogram first, second;
  first.Record(microseconds(10), 99);
  second.Record(microseconds(1000));

  first.Add(second);

  EXPECT_EQ(first.count(), 100u);
  EXPECT_EQ(first.max(), microseconds(1000));
  EXPECT_NEAR(static_cast<double>(first.Quantile(0.99).count()), 10'000, 100);
}

TEST(LatencyHistogram, SinceSeesOnlyWhatIsNew) {
  LatencyHistogram histogram;
  histogram.Record(microseconds(5000), 1000);
  const LatencyHistogram earlier = histogram;
  histogram.Record(microseconds(10), 10);

  const LatencyHistogram lately = histogram.Since(earlier);

  EXPECT_EQ(lately.count(), 10u);
  EXPECT_NEAR(static_cast<double>(lately.Quantile(0.99).count()), 10'000, 100);
}

TEST(LatencyHistogram, EmptyIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), Duration::zero());
  EXPECT_EQ(histogram.min(), Duration::zero());
  EXPECT_EQ(histogram.Mean(), Duration::zero());
  EXPECT_TRUE(histogram.NonEmpty().empty());
}

}  // namespace
}  // namespace mezzo::app::cli
