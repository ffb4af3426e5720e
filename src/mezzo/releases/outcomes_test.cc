#include "mezzo/releases/outcomes.h"

#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mezzo::releases {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(LatencyHistogram, BucketsFollowOneAnotherAndAreNarrow) {
  for (std::size_t bucket = 1; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    const Duration low = LatencyHistogram::LowerEdge(bucket);
    const Duration high = LatencyHistogram::LowerEdge(bucket + 1);
    ASSERT_EQ(LatencyHistogram::IndexOf(low), bucket);
    ASSERT_EQ(LatencyHistogram::IndexOf(high - Duration(1)), bucket);
    ASSERT_LE(Seconds(high - low) / Seconds(low), 0.02);
  }
  EXPECT_EQ(LatencyHistogram::IndexOf(Duration::zero()), 0U);
  EXPECT_EQ(LatencyHistogram::IndexOf(Duration(-5)), 0U);
  EXPECT_EQ(LatencyHistogram::IndexOf(seconds(1000)), LatencyHistogram::kBuckets - 1);
}

TEST(LatencyHistogram, QuantilesAndTails) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Add(milliseconds(i));

  EXPECT_EQ(histogram.total(), 100U);
  EXPECT_EQ(histogram.QuantileBucket(0.5), LatencyHistogram::IndexOf(milliseconds(50)));
  EXPECT_EQ(histogram.QuantileBucket(0.99), LatencyHistogram::IndexOf(milliseconds(99)));
  EXPECT_EQ(histogram.From(LatencyHistogram::IndexOf(milliseconds(91))), 10U);
  EXPECT_EQ(LatencyHistogram().QuantileBucket(0.5), 0U);
}

OutcomeSummary Random(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  ArmRecorder recorder("r");
  const std::uint64_t calls = random() % 500;
  for (std::uint64_t i = 0; i < calls; ++i) {
    recorder.Record({.latency = microseconds(random() % 10'000'000),
                     .cost = static_cast<double>(random() % 1000) / 1000,
                     .failed = random() % 10 == 0,
                     .retried = random() % 20 == 0,
                     .late = random() % 30 == 0});
    if (random() % 5 == 0) recorder.RecordCustom(random() % 5, static_cast<double>(random() % 7));
  }
  return recorder.Read();
}

TEST(OutcomeSummary, ComesBackAsItWasSerialised) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const OutcomeSummary summary = Random(seed);
    const auto parsed = OutcomeSummary::Parse(summary.Serialise());
    ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
    EXPECT_EQ(*parsed, summary);
  }
}

TEST(OutcomeSummary, RefusesWhatSerialiseDidNotWrite) {
  const std::string bytes = Random(3).Serialise();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(OutcomeSummary::Parse(bytes.substr(0, cut)).ok()) << cut;
  }
  EXPECT_FALSE(OutcomeSummary::Parse(bytes + '\0').ok());
  EXPECT_FALSE(OutcomeSummary::Parse(std::string(OutcomeSummary::kMaxBytes + 1, '\1')).ok());
  std::string other = bytes;
  other[0] = 9;
  EXPECT_EQ(OutcomeSummary::Parse(other).error().reason(), "release_outcomes_invalid");
}

TEST(OutcomeSummary, SurvivesAnyBytes) {
  std::mt19937_64 random(11);
  const std::string valid = Random(5).Serialise();
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = valid;
    for (int flips = 0; flips < 3; ++flips) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto parsed = OutcomeSummary::Parse(bytes);
    if (parsed.ok()) {
      EXPECT_LE(parsed->errors, parsed->calls);
    }
  }
}

TEST(OutcomeSummary, WorstCaseFitsItsLimit) {
  OutcomeSummary summary;
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) summary.latency[i] = UINT64_MAX >> 1;
  EXPECT_LE(summary.Serialise().size(), OutcomeSummary::kMaxBytes);
}

TEST(OutcomeSummary, DifferenceUndoesTheSum) {
  const OutcomeSummary first = Random(1);
  OutcomeSummary both = first;
  both += Random(2);

  const auto rest = both.Since(first);

  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->calls, Random(2).calls);
  EXPECT_EQ(rest->latency, Random(2).latency);
  EXPECT_NEAR(rest->cost.sum, Random(2).cost.sum, 1e-9);
  EXPECT_EQ(first.Since(both).error().reason(), "release_outcomes_invalid");
}

TEST(ArmRecorder, CountsWhatManyThreadsRecord) {
  ArmRecorder recorder("r");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        recorder.Record({.latency = milliseconds(i % 100), .cost = 0.5, .failed = i % 10 == 0});
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    const OutcomeSummary now = recorder.Read();
    EXPECT_LE(now.errors, now.calls);
  }
  for (std::thread& thread : threads) thread.join();

  const OutcomeSummary summary = recorder.Read();

  EXPECT_EQ(summary.calls, 40'000U);
  EXPECT_EQ(summary.errors, 4000U);
  EXPECT_EQ(summary.latency.total(), 36'000U);
  EXPECT_DOUBLE_EQ(summary.cost.sum, 20'000);
}

TEST(ArmRecorder, DropsCustomValuesThatAreNone) {
  ArmRecorder recorder("r");

  recorder.RecordCustom(0, 1.5);
  recorder.RecordCustom(kCustomMetrics, 1);
  recorder.RecordCustom(0, std::numeric_limits<double>::quiet_NaN());

  EXPECT_EQ(recorder.Read().custom[0], (Moments{.count = 1, .sum = 1.5, .squares = 2.25}));
}

TEST(OutcomeBoard, GivesOneRecorderForOneArmWhileItIsKept) {
  OutcomeBoard board({.max_arms = 2});
  const ArmKey key{.model = "m", .series = "s", .arm = "canary"};
  auto first = board.Arm(key, WallTime());
  EXPECT_EQ(board.Arm(key, WallTime()), first);

  board.Forget(key);
  EXPECT_EQ(board.Entries().size(), 1U);  // Somebody still records.
  const std::string id = first->id();
  first.reset();
  board.Forget(key);

  EXPECT_TRUE(board.Entries().empty());
  EXPECT_NE(board.Arm(key, WallTime())->id(), id);
}

TEST(OutcomeBoard, IsBounded) {
  OutcomeBoard board({.max_arms = 1});
  EXPECT_NE(board.Arm({.model = "m", .series = "s", .arm = "a"}, WallTime()), nullptr);

  EXPECT_EQ(board.Arm({.model = "m", .series = "s", .arm = "b"}, WallTime()), nullptr);
  EXPECT_EQ(board.refused(), 1U);
}

TEST(OutcomeSummary, LikenessTravelsAndSummariesWithoutPicturesAreAsBefore) {
  const OutcomeSummary without = Random(1);
  OutcomeSummary with = without;
  with.likeness[LikenessBucket(0.87)] = 3;
  with.likeness[LikenessBucket(-0.2)] = 300;

  const auto parsed = OutcomeSummary::Parse(with.Serialise());

  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(*parsed, with);
  EXPECT_TRUE(with.Serialise().starts_with(without.Serialise()));
  EXPECT_GT(with.Serialise().size(), without.Serialise().size());
  const auto rest = with.Since(without);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->likeness[17], 3U);
  EXPECT_EQ(rest->likeness[0], 300U);
  EXPECT_FALSE(without.Since(with).ok());
}

TEST(OutcomeSummary, LikenessHasTwentySteps) {
  EXPECT_EQ(LikenessBucket(std::nan("")), 0U);
  EXPECT_EQ(LikenessBucket(0.049), 0U);
  EXPECT_EQ(LikenessBucket(1), 19U);
  for (std::size_t i = 1; i < kLikenessBuckets; ++i) {
    EXPECT_EQ(LikenessBucket(static_cast<double>(i) / 20), i) << "an edge belongs to what is above it";
  }
}

TEST(ArmRecorder, WhatTheCacheAnsweredIsOnlyCounted) {
  ArmRecorder recorder("r");
  recorder.Record({.latency = std::chrono::milliseconds(5), .cost = 1});
  for (int i = 0; i < 3; ++i)
    recorder.Record({.latency = std::chrono::milliseconds(1), .cost = 9, .kept = true});
  const OutcomeSummary seen = recorder.Read();
  EXPECT_EQ(seen.calls, 1U);
  EXPECT_EQ(seen.kept, 3U);
  EXPECT_EQ(seen.cost.sum, 1);
  EXPECT_EQ(seen.latency.total(), 1U);
  const auto parsed = OutcomeSummary::Parse(seen.Serialise());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, seen);
}

}  // namespace
}  // namespace mezzo::releases
