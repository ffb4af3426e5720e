#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/sched/scheduler.h"

namespace mezzo::sched {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// What a run takes.
struct Cost {
  Duration base;
  Duration per_row;
};

/// A picture: steps of one model, each submitted when the one before has run.
struct Picture {
  WorkItem step;
  int steps_left = 0;
  int batches_before_first = -1;  ///< That began after it came; -1: none of its steps has run.
  TimePoint came{};
  TimePoint done{};
};

/// One slot that runs chains of steps in virtual time, as the device executor does: whoever ends a step
/// submits the next one before the next batch is formed.
class StepDevice {
 public:
  explicit StepDevice(Cost cost) : cost_(cost), scheduler_({}) {
    tenant_ = scheduler_.AddTenant({.name = "t"});
    model_ = scheduler_.AddModel({.name = "unet", .max_batch_rows = 32, .prior_cost = milliseconds(10)});
  }

  Picture& Add(Class cls, int steps, std::uint32_t rows = 2) {
    Picture& picture = pictures_.emplace_back();
    picture.step.tenant = tenant_;
    picture.step.model = model_;
    picture.step.cls = cls;
    picture.step.rows = rows;
    picture.steps_left = steps;
    picture.came = now_;
    EXPECT_TRUE(scheduler_.Enqueue(picture.step, now_).ok());
    return picture;
  }
  /// Runs batches until `ends` says so, or nothing is left.
  template <typename Ends>
  void RunUntil(const Ends& ends) {
    Batch batch;
    while (!ends() && scheduler_.Dispatch(now_, batch) == Dispatched::kBatch) RunOne(batch);
  }
  void RunFor(Duration duration) {
    const TimePoint until = now_ + duration;
    RunUntil([&] { return now_ >= until; });
  }

  /// Batches with a step of `cls` in front: rows of that class, rows of others.
  struct Led {
    std::uint32_t own = 0;
    std::uint32_t riders = 0;
  };
  [[nodiscard]] const std::vector<Led>& led_by_interactive() const { return led_; }
  [[nodiscard]] Duration RunOf(std::uint32_t rows) const { return cost_.base + cost_.per_row * rows; }
  [[nodiscard]] TimePoint now() const { return now_; }

 private:
  void RunOne(Batch& batch) {
    Led led;
    for (WorkItem* item : batch.items) (item->cls == batch.cls ? led.own : led.riders) += item->rows;
    if (batch.cls == Class::kInteractive) led_.push_back(led);
    for (Picture& picture : pictures_) {
      if (picture.done == TimePoint{} && picture.batches_before_first < 0) ++waits_[&picture];
    }
    const Duration run = RunOf(batch.rows);
    now_ += run;
    ASSERT_TRUE(scheduler_.Complete(batch.id, run, RunOutcome::kOk, now_));
    for (WorkItem* item : batch.items) {
      Picture& picture = *std::find_if(pictures_.begin(), pictures_.end(),
                                       [item](const Picture& each) { return &each.step == item; });
      if (picture.batches_before_first < 0) picture.batches_before_first = waits_[&picture] - 1;
      if (--picture.steps_left == 0) {
        picture.done = now_;
      } else {
        ASSERT_TRUE(scheduler_.Enqueue(picture.step, now_).ok());
      }
    }
  }

  const Cost cost_;
  Scheduler scheduler_;
  TenantIndex tenant_{};
  ModelIndex model_{};
  TimePoint now_{seconds(100)};
  std::deque<Picture> pictures_;
  std::map<const Picture*, int> waits_;
  std::vector<Led> led_;
};

constexpr int kForEver = 1 << 30;

class StepChainTest : public ::testing::TestWithParam<Cost> {};

TEST_P(StepChainTest, ATierOnePictureAmongSixteenOthersTakesLittleLongerThanAlone) {
  StepDevice device(GetParam());
  for (int i = 0; i < 16; ++i) device.Add(Class::kBulk, kForEver);
  device.RunFor(seconds(20));
  constexpr int kSteps = 20;

  Picture& urgent = device.Add(Class::kInteractive, kSteps);
  device.RunUntil([&] { return urgent.steps_left == 0; });

  EXPECT_LE(urgent.batches_before_first, 1);
  const Duration alone = device.RunOf(2) * kSteps;
  EXPECT_LE(Seconds(urgent.done - urgent.came), 1.6 * Seconds(alone));
}

TEST_P(StepChainTest, ASecondTierOnePictureJoinsTheFirst) {
  StepDevice device(GetParam());
  for (int i = 0; i < 16; ++i) device.Add(Class::kBulk, kForEver);
  device.RunFor(seconds(20));

  Picture& first = device.Add(Class::kInteractive, 20);
  Picture& second = device.Add(Class::kInteractive, 20);
  device.RunUntil([&] { return first.steps_left == 0 && second.steps_left == 0; });

  EXPECT_LE(Seconds(second.done - second.came), 1.6 * 2 * 20 * Seconds(device.RunOf(2)));
}

TEST_P(StepChainTest, TierOneNeverStopsTheOthersForGood) {
  StepDevice device(GetParam());
  Picture& bulk = device.Add(Class::kBulk, kForEver);
  for (int i = 0; i < 4; ++i) device.Add(Class::kInteractive, kForEver);
  device.RunFor(seconds(20));
  const int before = bulk.steps_left;

  device.RunFor(seconds(20));

  // A tenth of the device is the class's own.
  const double time = Seconds(device.RunOf(2)) * (before - bulk.steps_left);
  EXPECT_GE(time, 0.08 * 20);
}

TEST_P(StepChainTest, OthersRideAlongOnlyWhereTheyStretchTheRunByATenth) {
  StepDevice device(GetParam());
  for (int i = 0; i < 16; ++i) device.Add(Class::kBulk, kForEver, 1);
  device.RunFor(seconds(20));
  device.Add(Class::kInteractive, 100);

  device.RunFor(seconds(10));

  ASSERT_FALSE(device.led_by_interactive().empty());
  for (const StepDevice::Led& led : device.led_by_interactive()) {
    // Predicted and real run differ a little.
    EXPECT_LE(Seconds(device.RunOf(led.own + led.riders)), 1.15 * Seconds(device.RunOf(led.own)));
  }
}

// Rows that cost in proportion, as on CPUs; rows that are nearly free, as on large GPUs; and between.
INSTANTIATE_TEST_SUITE_P(Costs, StepChainTest,
                         ::testing::Values(Cost{milliseconds(1), milliseconds(10)},
                                           Cost{milliseconds(20), std::chrono::microseconds(200)},
                                           Cost{milliseconds(10), milliseconds(2)}));

TEST(StepChain, RowsThatAreNearlyFreeAreFilledWithLessUrgentSteps) {
  StepDevice device({milliseconds(20), std::chrono::microseconds(100)});
  for (int i = 0; i < 16; ++i) {
    device.Add(Class::kBulk, kForEver, 1);
    device.RunFor(seconds(1));  // Batches of every size, so that the cost of a row is known.
  }

  Picture& urgent = device.Add(Class::kInteractive, 20);
  device.RunUntil([&] { return urgent.steps_left == 0; });

  std::uint32_t riders = 0;
  for (const StepDevice::Led& led : device.led_by_interactive()) riders += led.riders;
  EXPECT_GE(riders, 20u * 8);
}

}  // namespace
}  // namespace mezzo::sched
