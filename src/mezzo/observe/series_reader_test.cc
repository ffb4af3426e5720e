#include "mezzo/observe/series_reader.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::observe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ReadSeries, GivesEverySeriesOfAFamilyInOrder) {
  Registry registry;
  auto& calls = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model", "outcome"});
  calls.With({"b", "success"}).Add(3);
  calls.With({"a", "failure"}).Add();

  const auto series = ReadSeries(calls);

  ASSERT_EQ(series.size(), 2U);
  EXPECT_THAT(series[0].labels, ElementsAre("a", "failure"));
  EXPECT_EQ(series[0].value, 1);
  EXPECT_THAT(series[1].labels, ElementsAre("b", "success"));
  EXPECT_EQ(series[1].value, 3);
}

TEST(ReadSeries, GivesHistogramsWhole) {
  Registry registry;
  auto& times = registry.NewHistogramFamily("mezzo_test_run_seconds", "Runs.", {"model"});
  EXPECT_THAT(ReadSeries(times), IsEmpty());
  for (int i = 0; i < 100; ++i) times.With({"a"}).Observe(std::chrono::milliseconds(15));

  const auto series = ReadSeries(times);

  ASSERT_EQ(series.size(), 1U);
  EXPECT_EQ(series[0].histogram.count, 100U);
  const double p99 = series[0].histogram.Quantile(0.99, Histogram::Bounds());
  EXPECT_GT(p99, 0.010);
  EXPECT_LE(p99, 0.020);
}

TEST(ReadSeries, AsksCallbacks) {
  Registry registry;
  auto& family = registry.NewCallbackFamily("mezzo_test_queued", "Waiting.", MetricType::kGauge, {"model"});
  const Callback callback = family.Add({"a"}, [] { return 7.0; });

  const auto series = ReadSeries(family);

  ASSERT_EQ(series.size(), 1U);
  EXPECT_EQ(series[0].value, 7);
}

}  // namespace
}  // namespace mezzo::observe
