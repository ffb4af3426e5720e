#include "mezzo/runtime/retry.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace mezzo::runtime {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, PausesStayBelowACeilingThatDoublesUpToTheLongest) {
  const Duration ceilings[] = {milliseconds(10), milliseconds(20), milliseconds(40), milliseconds(50),
                               milliseconds(50)};
  Duration largest[5] = {};
  for (int round = 0; round < 400; ++round) {
    Backoff backoff({.first = milliseconds(10), .longest = milliseconds(50)});
    for (int i = 0; i < 5; ++i) {
      const Duration pause = backoff.Next();
      EXPECT_GE(pause, Duration::zero());
      EXPECT_LE(pause, ceilings[i]);
      largest[i] = std::max(largest[i], pause);
    }
  }
  // The chance that 400 uniform draws all miss the upper tenth is 0.9^400, below 1e-18.
  for (int i = 0; i < 5; ++i) EXPECT_GE(largest[i], ceilings[i] * 9 / 10);
}

TEST(RetryBudget, RetriesEndWhenItsTokensDo) {
  RetryBudget budget({.per_call = 0.5, .max_tokens = 2});
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
}

TEST(RetryBudget, CallsEarnRetriesUpToTheMaximum) {
  RetryBudget budget({.per_call = 0.5, .max_tokens = 2});
  while (budget.TryRetry()) {
  }

  budget.OnCall();
  EXPECT_FALSE(budget.TryRetry());
  budget.OnCall();
  EXPECT_TRUE(budget.TryRetry());
  for (int i = 0; i < 100; ++i) budget.OnCall();
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_TRUE(budget.TryRetry());
  EXPECT_FALSE(budget.TryRetry());
}

}  // namespace
}  // namespace mezzo::runtime
