#include "mezzo/observe/metrics.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/observe/exposition.h"

namespace mezzo::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Text(const Registry& registry) { return Render(registry, ExpositionFormat::kPrometheusText); }

template <typename Buckets>
std::size_t LinearFind(std::uint64_t value) {
  std::size_t i = 0;
  while (i < Buckets::kBounds.size() && value > Buckets::kBounds[i]) ++i;
  return i;
}

TEST(LatencyBuckets, FindAgreesWithALinearSearchAroundEveryBoundAndPowerOfTwo) {
  using internal::LatencyBuckets;
  std::vector<std::uint64_t> values = {0, 1, UINT64_MAX, UINT64_MAX - 1};
  for (const std::uint64_t bound : LatencyBuckets::kBounds)
    values.insert(values.end(), {bound - 1, bound, bound + 1});
  for (int bit = 1; bit < 64; ++bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    values.insert(values.end(), {power - 1, power, power + 1});
  }

  for (const std::uint64_t value : values) {
    EXPECT_EQ(LatencyBuckets::Find(value), LinearFind<LatencyBuckets>(value)) << value;
  }
}

TEST(LatencyBuckets, NoOctaveHoldsThreeBounds) {
  const auto& bounds = internal::LatencyBuckets::kBounds;
  for (std::size_t i = 0; i + 2 < bounds.size(); ++i) EXPECT_GE(bounds[i + 2], 2 * bounds[i]) << bounds[i];
}

TEST(SizeBuckets, FindAgreesWithALinearSearch) {
  using internal::SizeBuckets;
  for (std::uint64_t value = 0; value < 3000; ++value) {
    EXPECT_EQ(SizeBuckets::Find(value), LinearFind<SizeBuckets>(value)) << value;
  }
  EXPECT_EQ(SizeBuckets::Find(UINT64_MAX), SizeBuckets::kBounds.size());
}

TEST(Counter, LosesNothingWithMoreThreadsThanExclusiveSlots) {
  constexpr int kThreads = 2 * static_cast<int>(internal::kExclusiveSlots) + 3;
  constexpr int kAdds = 20'000;
  Registry registry;
  Counter& counter = registry.NewCounter("mezzo_test_events_total", "Events.");
  Histogram& histogram = registry.NewHistogram("mezzo_test_wait_seconds", "Waits.");
  std::vector<std::thread> threads;
  threads.reserve(kThreads);

  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kAdds; ++i) {
        counter.Add(2);
        histogram.Observe(std::chrono::microseconds(t * 100));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(counter.value(), 2U * kThreads * kAdds);
  const HistogramSnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.count, static_cast<std::uint64_t>(kThreads) * kAdds);
  EXPECT_NEAR(snapshot.sum, kAdds * 1e-4 * kThreads * (kThreads - 1) * 0.5, 1e-6);
}

TEST(Counter, KeepsCountsOfThreadsThatEndedAndGaveTheirSlotAway) {
  Counter counter;

  for (int i = 0; i < 50; ++i) {
    std::thread([&counter] { counter.Add(3); }).join();
  }

  EXPECT_EQ(counter.value(), 150U);
}

TEST(Gauge, GoesUpAndDown) {
  Gauge gauge;

  gauge.Set(5);
  gauge.Add(2.5);
  gauge.Add(-4);

  EXPECT_DOUBLE_EQ(gauge.value(), 3.5);
}

TEST(Histogram, CountsANegativeDurationAsZero) {
  Histogram histogram;

  histogram.Observe(Duration(-5));

  const HistogramSnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.buckets[0], 1U);
  EXPECT_EQ(snapshot.sum, 0);
}

TEST(HistogramSnapshot, QuantileInterpolatesWithinABucket) {
  Histogram histogram;
  for (int i = 0; i < 10; ++i) histogram.Observe(std::chrono::microseconds(150));  // (100 µs, 200 µs]

  const HistogramSnapshot snapshot = histogram.Snapshot();

  EXPECT_NEAR(snapshot.Quantile(0.5, Histogram::Bounds()), 150e-6, 1e-9);
  EXPECT_NEAR(snapshot.Quantile(1, Histogram::Bounds()), 200e-6, 1e-9);
  EXPECT_EQ(HistogramSnapshot{}.Quantile(0.5, Histogram::Bounds()), 0);
}

TEST(HistogramSnapshot, QuantileBeyondEveryBoundIsTheHighestBound) {
  SizeHistogram histogram;
  histogram.Observe(5000);

  EXPECT_EQ(histogram.Snapshot().Quantile(0.99, SizeHistogram::Bounds()), 1024);
}

TEST(Family, GivesTheSameSeriesForTheSameValues) {
  Registry registry;
  auto& family = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model", "version"});

  Counter& first = family.With({"a", "1"});
  Counter& second = family.With({"a", "2"});

  EXPECT_EQ(&first, &family.With({"a", "1"}));
  EXPECT_NE(&first, &second);
  EXPECT_EQ(&family, &registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model", "version"}));
}

TEST(Family, AnswersWithOtherBeyondItsBoundAndCountsIt) {
  Registry registry;
  auto& family = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model", "version"}, 2);
  family.With({"a", "1"}).Add();
  family.With({"b", "1"}).Add();

  family.With({"c", "1"}).Add();
  family.With({"d", "1"}).Add();

  EXPECT_EQ(family.size(), 3U);
  const std::string text = Text(registry);
  EXPECT_THAT(text, HasSubstr("mezzo_test_calls_total{model=\"other\",version=\"other\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_observe_series_dropped_total{metric=\"mezzo_test_calls_total\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("model=\"c\"")));
}

TEST(Family, SeriesDisappearsWithItsLastLease) {
  Registry registry;
  auto& family = registry.NewGaugeFamily("mezzo_test_depth", "Depth.", {"model"});
  {
    Series<Gauge> old_instance = family.Lease({"a"});
    Series<Gauge> new_instance = family.Lease({"a"});
    old_instance = Series<Gauge>();
    new_instance->Set(3);
    EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_depth{model=\"a\"} 3\n"));
  }

  EXPECT_EQ(family.size(), 0U);
  EXPECT_THAT(Text(registry), Not(HasSubstr("# TYPE mezzo_test_depth")));
}

TEST(Family, ALeaseMakesRoomForAnotherSeriesWhenItEnds) {
  Registry registry;
  auto& family = registry.NewGaugeFamily("mezzo_test_depth", "Depth.", {"model"}, 1);
  {
    const Series<Gauge> lease = family.Lease({"a"});
  }

  const Series<Gauge> next = family.Lease({"b"});
  next->Set(1);

  EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_depth{model=\"b\"} 1\n"));
}

TEST(Family, SeriesAskedForByReferenceOutlivesLeases) {
  Registry registry;
  auto& family = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model"});
  Counter& pinned = family.With({"a"});

  {
    const Series<Counter> lease = family.Lease({"a"});
  }
  pinned.Add(7);

  EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_calls_total{model=\"a\"} 7\n"));
}

TEST(Family, ConcurrentLeasesAndScrapesKeepEveryCount) {
  Registry registry;
  auto& family = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model"}, 8);
  Counter& kept = family.With({"kept"});
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&family, t] {
      for (int i = 0; i < 500; ++i) {
        family.Lease({std::to_string((i + t) % 12)})->Add();
        family.With({"kept"}).Add();
      }
    });
  }

  for (int i = 0; i < 50; ++i) EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_calls_total"));
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(kept.value(), 2000U);
  EXPECT_LE(family.size(), 9U);
}

TEST(Family, CutsAndCleansLabelValues) {
  Registry registry;
  auto& family = registry.NewGaugeFamily("mezzo_test_depth", "Depth.", {"model"});

  Gauge& bad = family.With({"a\xFF"});

  EXPECT_EQ(&bad, &family.With({"a?"}));
  EXPECT_EQ(&family.With({std::string(128, 'x')}), &family.With({std::string(500, 'x')}));
}

TEST(CallbackFamily, ShowsTheNewestOfEqualLabelsUntilItGoes) {
  Registry registry;
  auto& family = registry.NewCallbackFamily("mezzo_test_depth", "Depth.", MetricType::kGauge, {"model"});
  const Callback old_one = family.Add({"a"}, [] { return 1.0; });
  {
    const Callback new_one = family.Add({"a"}, [] { return 2.0; });
    EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_depth{model=\"a\"} 2\n"));
  }

  EXPECT_THAT(Text(registry), HasSubstr("mezzo_test_depth{model=\"a\"} 1\n"));
}

TEST(CallbackFamily, RefusesBeyondItsBoundAndCountsIt) {
  Registry registry;
  auto& family = registry.NewCallbackFamily("mezzo_test_depth", "Depth.", MetricType::kGauge, {"model"}, 1);
  const Callback first = family.Add({"a"}, [] { return 1.0; });

  const Callback second = family.Add({"b"}, [] { return 2.0; });

  const std::string text = Text(registry);
  EXPECT_THAT(text, Not(HasSubstr("model=\"b\"")));
  EXPECT_THAT(text, HasSubstr("mezzo_observe_series_dropped_total{metric=\"mezzo_test_depth\"} 1\n"));
}

TEST(CheckMetricName, SaysWhatIsWrong) {
  struct Case {
    std::string_view name;
    MetricType type;
    std::string_view message;
  };
  const std::vector<Case> cases = {
      {"requests_total", MetricType::kCounter, "mezzo_[a-z0-9_]+"},
      {"mezzo_", MetricType::kGauge, "mezzo_[a-z0-9_]+"},
      {"mezzo_Depth", MetricType::kGauge, "mezzo_[a-z0-9_]+"},
      {"mezzo_depth_", MetricType::kGauge, "empty word"},
      {"mezzo_a__b", MetricType::kGauge, "empty word"},
      {"mezzo_requests", MetricType::kCounter, "must end in _total"},
      {"mezzo_requests_total", MetricType::kGauge, "no counter"},
      {"mezzo_wait", MetricType::kLatencyHistogram, "must end in _seconds"},
      {"mezzo_wait_ms", MetricType::kGauge, "base unit"},
      {"mezzo_wait_ms_total", MetricType::kCounter, "base unit"},
      {"mezzo_batch_seconds", MetricType::kSizeHistogram, "counts sizes"},
      {"mezzo_rows_count", MetricType::kGauge, "reserves"},
      {"mezzo_rows_bucket_total", MetricType::kCounter, "reserves"},
  };
  for (const Case& c : cases) {
    const Result<void> checked = CheckMetricName(c.name, c.type);
    ASSERT_FALSE(checked.ok()) << c.name;
    EXPECT_THAT(checked.error().message(), HasSubstr(std::string(c.message))) << c.name;
    EXPECT_THAT(checked.error().message(), HasSubstr(std::string(c.name)));
  }
  EXPECT_FALSE(CheckMetricName("mezzo_" + std::string(100, 'a'), MetricType::kGauge).ok());
  EXPECT_TRUE(CheckMetricName("mezzo_sched_wait_seconds", MetricType::kLatencyHistogram).ok());
  EXPECT_TRUE(CheckMetricName("mezzo_process_cpu_seconds_total", MetricType::kCounter).ok());
  EXPECT_TRUE(CheckMetricName("mezzo_batch_rows", MetricType::kSizeHistogram).ok());
}

TEST(RegistryDeathTest, AbortsOnMistakesInCode) {
  Registry registry;
  auto& family = registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"model"});

  EXPECT_DEATH(registry.NewCounter("bad", "Bad."), "CheckMetricName");
  EXPECT_DEATH(registry.NewCounterFamily("mezzo_test_calls_total", "Calls.", {"version"}), "labels");
  EXPECT_DEATH(
      registry.NewCallbackFamily("mezzo_test_calls_total", "Calls.", MetricType::kCounter, {"model"}),
      "same");
  EXPECT_DEATH(registry.NewCounterFamily("mezzo_test_other_total", "Calls.", {"le"}), "IsLabelName");
  EXPECT_DEATH(family.With({"a", "b"}), "labels");
}

TEST(Registry, DescribesItsFamiliesByName) {
  Registry registry;
  registry.NewGauge("mezzo_test_b", "B.");
  registry.NewCounterFamily("mezzo_test_a_total", "A.", {"model"});

  const auto described = registry.Describe();

  ASSERT_EQ(described.size(), 3U);
  EXPECT_EQ(described[0].name, "mezzo_observe_series_dropped_total");
  EXPECT_EQ(described[1].name, "mezzo_test_a_total");
  EXPECT_THAT(described[1].labels, ::testing::ElementsAre("model"));
  EXPECT_EQ(described[2].type, MetricType::kGauge);
}

}  // namespace
}  // namespace mezzo::observe
