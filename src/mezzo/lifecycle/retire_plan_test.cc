#include "mezzo/lifecycle/retire_plan.h"

#include <random>

#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const RetirePolicy kPolicy{.after = hours(24 * 30), .warning = hours(24 * 7), .drain = minutes(2)};
constexpr WallTime kNow{std::chrono::hours(24 * 365 * 50)};

RetireFacts Idle(RetireStage stage, Duration idle, Duration in_stage) {
  return {.stage = stage, .idle_since = kNow - idle, .stage_since = kNow - in_stage};
}
RetireStage Next(const RetireFacts& facts, const RetirePolicy& policy = kPolicy) {
  return NextRetireStep(policy, facts, kNow).to;
}

TEST(RetirePlan, WhatHasNoCallsIsWarnedDrainedAndArchived) {
  EXPECT_EQ(Next(Idle(RetireStage::kServing, hours(24 * 30) - minutes(1), {})), RetireStage::kServing);
  EXPECT_EQ(Next(Idle(RetireStage::kServing, hours(24 * 30), {})), RetireStage::kWarned);
  EXPECT_EQ(Next(Idle(RetireStage::kWarned, hours(24 * 36), hours(24 * 6))), RetireStage::kWarned);
  EXPECT_EQ(Next(Idle(RetireStage::kWarned, hours(24 * 37), hours(24 * 7))), RetireStage::kDraining);
  EXPECT_EQ(Next(Idle(RetireStage::kDraining, hours(24 * 37), minutes(1))), RetireStage::kDraining);
  EXPECT_EQ(Next(Idle(RetireStage::kDraining, hours(24 * 37), minutes(2))), RetireStage::kArchiving);
}

TEST(RetirePlan, CallsEndAWarningAndPutADrainOff) {
  EXPECT_EQ(Next(Idle(RetireStage::kWarned, minutes(1), hours(24 * 8))), RetireStage::kServing);
  EXPECT_EQ(Next(Idle(RetireStage::kDraining, minutes(1), minutes(10))), RetireStage::kDraining);
}

TEST(RetirePlan, NothingIsTakenThatIsNeeded) {
  for (const RetireStage stage : {RetireStage::kServing, RetireStage::kWarned, RetireStage::kDraining}) {
    RetireFacts facts = Idle(stage, hours(24 * 999), hours(24 * 99));
    facts.used = true;
    EXPECT_EQ(Next(facts), RetireStage::kServing);
    facts.by_hand = true;
    EXPECT_EQ(Next(facts), RetireStage::kServing) << "by hand, too";
    facts.used = false;
    facts.only_ready = true;
    facts.by_hand = false;
    EXPECT_EQ(Next(facts), RetireStage::kServing) << "the only one";
  }
  RetireFacts last = Idle(RetireStage::kDraining, hours(24 * 999), hours(24 * 99));
  last.only_ready = last.by_hand = true;
  EXPECT_EQ(Next(last), RetireStage::kArchiving) << "somebody means it";
}

TEST(RetirePlan, WithoutAPolicyNothingBeginsAndWarningsEnd) {
  EXPECT_EQ(Next(Idle(RetireStage::kServing, hours(24 * 999), {}), {}), RetireStage::kServing);
  EXPECT_EQ(Next(Idle(RetireStage::kWarned, hours(24 * 999), hours(24 * 99)), {}), RetireStage::kServing);
  EXPECT_EQ(Next(Idle(RetireStage::kDraining, hours(24 * 999), hours(24 * 99)), {}), RetireStage::kArchiving)
      << "what was begun is ended";
}

TEST(RetirePlan, EachStepIsLegalAndSaysWhy) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 20'000; ++i) {
    RetireFacts facts =
        Idle(static_cast<RetireStage>(random() % 5), hours(random() % 2000), hours(random() % 400));
    facts.used = random() % 2 == 0;
    facts.only_ready = random() % 3 == 0;
    facts.by_hand = random() % 3 == 0;
    RetirePolicy policy = kPolicy;
    if (random() % 4 == 0) policy.after = {};
    const auto next = NextRetireStep(policy, facts, kNow);
    if (next.to == facts.stage) continue;
    const auto from = static_cast<int>(facts.stage);
    const auto to = static_cast<int>(next.to);
    EXPECT_TRUE(to == from + 1 || to == 0) << from << " to " << to;
    EXPECT_LT(facts.stage, RetireStage::kArchiving) << "then it is the store's";
    EXPECT_FALSE(next.reason.empty());
    if (to > from) EXPECT_FALSE(facts.used);
  }
}

TEST(RetirePlan, TheNextStepIsDueWhenItIsMadeAndNotBefore) {
  const WallTime start{std::chrono::hours(1000)};
  for (const RetireStage stage : {RetireStage::kWarned, RetireStage::kDraining}) {
    for (const auto idle : {std::chrono::minutes(-600), std::chrono::minutes(0), std::chrono::minutes(1)}) {
      // A call since the warning ends it.
      if (stage == RetireStage::kWarned && idle > std::chrono::minutes(0)) continue;
      const RetirePolicy policy{.after = std::chrono::hours(24)};
      const RetireFacts facts{.stage = stage,
                              .by_hand = false,
                              .used = false,
                              .only_ready = false,
                              .idle_since = start + idle,
                              .stage_since = start};
      const auto due = NextRetireTime(policy, stage, start, facts.idle_since);
      ASSERT_TRUE(due.has_value());
      EXPECT_EQ(NextRetireStep(policy, facts, *due - std::chrono::microseconds(1)).to, stage);
      EXPECT_GT(NextRetireStep(policy, facts, *due).to, stage);
    }
  }
  for (const RetireStage stage : {RetireStage::kServing, RetireStage::kArchiving, RetireStage::kArchived}) {
    EXPECT_FALSE(NextRetireTime({}, stage, start, start).has_value());
  }
  EXPECT_EQ(NextRetireTime({.drain = std::chrono::minutes(2)}, RetireStage::kDraining, start, std::nullopt),
            start + std::chrono::minutes(2));
}

TEST(RetirePlan, StagesHaveNames) {
  for (int i = 0; i < 5; ++i) {
    const auto stage = static_cast<RetireStage>(i);
    EXPECT_EQ(ParseRetireStage(RetireStageName(stage)), stage);
  }
  EXPECT_FALSE(ParseRetireStage("gone").has_value());
}

}  // namespace
}  // namespace mezzo::lifecycle
