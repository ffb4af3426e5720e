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
  std::vector<WorkItem> parts;  ///< Of one step: they are queued together.
  std::size_t parts_left = 0;
  int steps_left = 0;
  int batches_before_first = -1;  ///< That began after it came; -1: none of its steps has run.
  TimePoint came{};
  TimePoint done{};
};

/// Slots that run chains of steps in virtual time, as the device executor does: whoever ends a step submits
/// the next one before the next batch is formed.
class StepDevice {
 public:
  explicit StepDevice(Cost cost, std::uint32_t slots = 1) : cost_(cost), scheduler_({.slots = slots}) {
    tenant_ = scheduler_.AddTenant({.name = "t"});
    model_ = scheduler_.AddModel(
        {.name = "unet", .max_batch_rows = 32, .max_concurrent = slots, .prior_cost = milliseconds(10)});
  }

  /// Of `parts` items with `rows` each.
  Picture& Add(Class cls, int steps, std::uint32_t rows = 2, std::size_t parts = 1) {
    Picture& picture = pictures_.emplace_back();
    picture.parts = std::vector<WorkItem>(parts);
    for (WorkItem& part : picture.parts) {
      part.tenant = tenant_;
      part.model = model_;
      part.cls = cls;
      part.rows = rows;
      part.chain = &picture;
      part.chain_rows = static_cast<std::uint32_t>(rows * parts);
    }
    picture.steps_left = steps;
    picture.came = now_;
    Queue(picture);
    return picture;
  }
  /// Runs batches until `ends` says so, or nothing is left.
  template <typename Ends>
  void RunUntil(const Ends& ends) {
    while (!ends()) {
      Run next;
      const bool started = scheduler_.Dispatch(now_, next.batch) == Dispatched::kBatch;
      if (started) {
        Begin(std::move(next));
      } else if (!running_.empty()) {
        EndFirst();
      } else {
        EXPECT_EQ(scheduler_.waits_until(), kNever) << "it waits for nobody";
        return;
      }
    }
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
  /// Of all slots together, since the beginning.
  [[nodiscard]] Duration busy() const { return busy_; }

 private:
  struct Run {
    Batch batch;
    TimePoint began{};
    TimePoint ends{};
  };

  void Queue(Picture& picture) {
    picture.parts_left = picture.parts.size();
    for (WorkItem& part : picture.parts) EXPECT_TRUE(scheduler_.Enqueue(part, now_).ok());
  }
  Picture& PictureOf(const WorkItem& item) {
    return *std::find_if(pictures_.begin(), pictures_.end(),
                         [&](const Picture& each) { return &each == item.chain; });
  }
  void Begin(Run run) {
    Led led;
    for (WorkItem* item : run.batch.items) (item->cls == run.batch.cls ? led.own : led.riders) += item->rows;
    if (run.batch.cls == Class::kInteractive) led_.push_back(led);
    for (Picture& picture : pictures_) {
      if (picture.done == TimePoint{} && picture.batches_before_first < 0) ++waits_[&picture];
    }
    for (WorkItem* item : run.batch.items) {
      Picture& picture = PictureOf(*item);
      if (picture.batches_before_first < 0) picture.batches_before_first = waits_[&picture] - 1;
    }
    run.began = now_;
    run.ends = now_ + RunOf(run.batch.rows);
    running_.push_back(std::move(run));
  }
  /// Goes on to the first end of a run, or of a wait.
  void EndFirst() {
    const auto first = std::min_element(running_.begin(), running_.end(),
                                        [](const Run& a, const Run& b) { return a.ends < b.ends; });
    if (scheduler_.waits_until() < first->ends) {
      now_ = scheduler_.waits_until();
      return;
    }
    const Run run = std::move(*first);
    running_.erase(first);
    now_ = run.ends;
    busy_ += run.ends - run.began;
    ASSERT_TRUE(scheduler_.Complete(run.batch.id, run.ends - run.began, RunOutcome::kOk, now_));
    for (WorkItem* item : run.batch.items) {
      Picture& picture = PictureOf(*item);
      if (--picture.parts_left > 0) continue;
      if (--picture.steps_left == 0) {
        picture.done = now_;
      } else {
        Queue(picture);
      }
    }
  }

  const Cost cost_;
  Scheduler scheduler_;
  TenantIndex tenant_{};
  ModelIndex model_{};
  TimePoint now_{seconds(100)};
  Duration busy_{};
  std::deque<Picture> pictures_;
  std::vector<Run> running_;
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

// Guidance on two cores: a step is two items, which run side by side when nothing else is drawn.
constexpr Cost kProcessor{milliseconds(2), milliseconds(7)};

TEST(StepChain, OnTwoSlotsATierOnePictureGetsBothAmongSixteenOthers) {
  StepDevice device(kProcessor, 2);
  for (int i = 0; i < 16; ++i) device.Add(Class::kBulk, kForEver, 1, 2);
  device.RunFor(seconds(20));
  constexpr int kSteps = 20;

  for (int round = 0; round < 5; ++round) {
    Picture& urgent = device.Add(Class::kInteractive, kSteps, 1, 2);
    device.RunUntil([&] { return urgent.steps_left == 0; });

    EXPECT_LE(urgent.batches_before_first, 1);
    EXPECT_LE(Seconds(urgent.done - urgent.came), 1.6 * kSteps * Seconds(device.RunOf(1)));
    device.RunFor(seconds(3));
  }
}

TEST(StepChain, SlotsLeftFreeForAChainAreFew) {
  // A picture whose rows use two of eight slots: the others have no reason to wait for it.
  StepDevice device(kProcessor, 8);
  for (int i = 0; i < 64; ++i) device.Add(Class::kBulk, kForEver, 1, 2);
  device.RunFor(seconds(5));
  device.Add(Class::kInteractive, kForEver, 1, 2);
  device.RunFor(seconds(1));
  const TimePoint start = device.now();
  const Duration before = device.busy();

  device.RunFor(seconds(20));

  EXPECT_GE(Seconds(device.busy() - before), 0.95 * 8 * Seconds(device.now() - start));
}

TEST(StepChain, WaitingForAChainTakesLittleOfTheDevice) {
  StepDevice device(kProcessor, 2);
  for (int i = 0; i < 16; ++i) device.Add(Class::kBulk, kForEver, 1, 2);
  Picture* urgent = &device.Add(Class::kInteractive, 20, 1, 2);
  const TimePoint start = device.now();
  for (int i = 0; i < 50; ++i) {  // One after the other.
    device.RunUntil([&] { return urgent->steps_left == 0; });
    urgent = &device.Add(Class::kInteractive, 20, 1, 2);
  }

  EXPECT_GE(Seconds(device.busy()), 0.9 * 2 * Seconds(device.now() - start));
}

TEST(StepChain, AStepThatDoesNotComeBackIsNotWaitedForLong) {
  Scheduler scheduler({.slots = 2});
  const TenantIndex tenant = scheduler.AddTenant({.name = "t"});
  const ModelIndex model = scheduler.AddModel(
      {.name = "unet", .max_batch_rows = 32, .max_concurrent = 2, .prior_cost = milliseconds(10)});
  const auto item = [&](Class cls, std::uint32_t rows) {
    WorkItem it;
    it.tenant = tenant;
    it.model = model;
    it.cls = cls;
    it.rows = rows;
    return it;
  };
  TimePoint now{seconds(100)};
  Batch urgent;
  Batch batch;
  WorkItem chained = item(Class::kInteractive, 2);
  chained.chain = &chained;
  chained.chain_rows = 2;
  WorkItem bulk = item(Class::kBulk, 8);
  WorkItem timed = item(Class::kBulk, 8);
  timed.deadline = now + seconds(9);
  ASSERT_TRUE(scheduler.Enqueue(chained, now).ok());
  ASSERT_EQ(scheduler.Dispatch(now, urgent), Dispatched::kBatch);  // Predicted: 20 ms.
  ASSERT_TRUE(scheduler.Enqueue(bulk, now).ok());

  now += milliseconds(1);
  EXPECT_EQ(scheduler.Dispatch(now, batch), Dispatched::kNothing);
  EXPECT_EQ(scheduler.waits_until(), TimePoint(seconds(100)) + milliseconds(30));
  now = scheduler.waits_until();
  EXPECT_EQ(scheduler.Dispatch(now, batch), Dispatched::kBatch);
  EXPECT_EQ(scheduler.waits_until(), kNever);
  ASSERT_TRUE(scheduler.Complete(batch.id, milliseconds(80), RunOutcome::kOk, now));
  ASSERT_TRUE(scheduler.Complete(urgent.id, milliseconds(20), RunOutcome::kOk, now));

  // And never against a deadline.
  ASSERT_TRUE(scheduler.Enqueue(chained, now).ok());
  ASSERT_EQ(scheduler.Dispatch(now, urgent), Dispatched::kBatch);
  ASSERT_TRUE(scheduler.Enqueue(timed, now).ok());
  EXPECT_EQ(scheduler.Dispatch(now, batch), Dispatched::kBatch);
}

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
