#include "mezzo/generation/internal/step_cache.h"

#include <gtest/gtest.h>

namespace mezzo::generation::internal {
namespace {

constexpr std::size_t kSteps = 10;

/// Runs a network whose prediction grows by `pace` of itself in each step; which steps ran it?
std::string RunsOf(double threshold, const std::vector<float>& predictions) {
  StepCache cache(threshold);
  std::string runs;
  for (std::size_t step = 0; step < predictions.size();) {
    const std::vector<float> prediction(8, predictions[step]);
    runs += '#';
    ++step;
    cache.Keep(prediction);
    while (!cache.Reuse(step, predictions.size()).empty()) {
      runs += '.';
      ++step;
    }
  }
  return runs;
}

std::vector<float> Growing(float by) {
  std::vector<float> out;
  for (std::size_t i = 0; i < kSteps; ++i) out.push_back(1 + static_cast<float>(i) * by);
  return out;
}

TEST(StepCacheTest, WithoutAThresholdEveryStepRuns) {
  EXPECT_EQ(RunsOf(0, std::vector<float>(kSteps, 1)), "##########");
}

TEST(StepCacheTest, WhatDoesNotChangeRunsAtBothEndsOnly) {
  EXPECT_EQ(RunsOf(0.01, std::vector<float>(kSteps, 1)), "##.......#");
}

TEST(StepCacheTest, TheExpectedChangeAddsUpToTheThreshold) {
  EXPECT_EQ(RunsOf(0.25, Growing(0.1F)), "##..#..#.#") << "a tenth in each step, then less of what has grown";
  EXPECT_EQ(RunsOf(0.05, Growing(0.1F)), "##########");
}

TEST(StepCacheTest, AJumpThatARunShowsEndsTheReuse) {
  EXPECT_EQ(RunsOf(0.25, {1, 1.1F, 1.2F, 1.3F, 5, 5.1F, 5.2F, 5.3F, 5.4F, 5.5F}), "##..##...#");
}

TEST(StepCacheTest, NothingIsKeptOfNothing) {
  EXPECT_EQ(RunsOf(0.5, std::vector<float>(kSteps, 0)), "##########") << "no relative change is known";
}

TEST(StepCacheTest, TwoStepsAlwaysRun) { EXPECT_EQ(RunsOf(1, {1, 1}), "##"); }

}  // namespace
}  // namespace mezzo::generation::internal
