#include "mezzo/sched/scheduler.h"

#include <deque>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::sched {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Scheduler::ModelOptions ModelNamed(std::string name, std::uint32_t max_batch_rows = 8) {
  Scheduler::ModelOptions options;
  options.name = std::move(name);
  options.max_batch_rows = max_batch_rows;
  options.prior_cost = milliseconds(1);
  return options;
}

/// A scheduler with tenants 0 "a" and 1 "b" and a clock; runs take 1 ms a row unless said otherwise.
class SchedulerTest : public ::testing::Test {
 protected:
  explicit SchedulerTest(Scheduler::Options options = {}) : scheduler_(std::move(options)) {
    a_ = scheduler_.AddTenant({.name = "a", .weight = 1});
    b_ = scheduler_.AddTenant({.name = "b", .weight = 1});
  }

  WorkItem& New(TenantIndex tenant, ModelIndex model, Duration deadline = {}, std::uint64_t key = 0) {
    WorkItem& item = items_.emplace_back();
    item.tenant = tenant;
    item.model = model;
    item.batch_key = key;
    if (deadline > Duration::zero()) item.deadline = now_ + deadline;
    return item;
  }
  WorkItem& Add(TenantIndex tenant, ModelIndex model, Duration deadline = {}, std::uint64_t key = 0) {
    WorkItem& item = New(tenant, model, deadline, key);
    const Result<void> result = scheduler_.Enqueue(item, now_);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().ToString());
    return item;
  }
  Dispatched Dispatch(Duration longest = Duration::max()) {
    return scheduler_.Dispatch(now_, batch_, longest);
  }
  /// Runs the batch that was dispatched last, `run` long.
  void Finish(Duration run, bool ok = true) {
    now_ += run;
    ASSERT_TRUE(scheduler_.Complete(batch_.id, run, ok ? RunOutcome::kOk : RunOutcome::kModelFault, now_));
  }
  void FinishByRows() { Finish(milliseconds(1) * batch_.rows); }
  /// Runs one item so many times that the model's latency is known: 1 ms a row.
  void Teach(ModelIndex model, int runs = 20) {
    for (int i = 0; i < runs; ++i) {
      Add(a_, model);
      ASSERT_EQ(Dispatch(), Dispatched::kBatch);
      FinishByRows();
    }
  }
  std::vector<RefusedItem> TakeRefused() {
    std::vector<RefusedItem> refused;
    scheduler_.TakeRefused(now_, refused);
    return refused;
  }
  int ItemsOf(TenantIndex tenant) const {
    int count = 0;
    for (const WorkItem* item : batch_.items) count += item->tenant == tenant ? 1 : 0;
    return count;
  }

  Scheduler scheduler_;
  TenantIndex a_{};
  TenantIndex b_{};
  TimePoint now_{seconds(100)};
  std::deque<WorkItem> items_;
  Batch batch_;
};

TEST_F(SchedulerTest, IdleDeviceStartsTheFirstItemAtOnce) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m"));
  WorkItem& item = Add(a_, model);

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_THAT(batch_.items, ::testing::ElementsAre(&item));
  EXPECT_EQ(item.state(), WorkItem::State::kRunning);
  EXPECT_EQ(batch_.rows, 1u);
  FinishByRows();
  EXPECT_EQ(item.state(), WorkItem::State::kDone);
}

TEST_F(SchedulerTest, WhatQueuesBehindABusySlotIsTheNextBatch) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  for (int i = 0; i < 11; ++i) Add(a_, model);
  Batch none;
  EXPECT_EQ(scheduler_.Dispatch(now_, none), Dispatched::kNothing);
  FinishByRows();

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(batch_.rows, 8u);
  FinishByRows();
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(batch_.rows, 3u);
}

/// With two slots.
class SpreadingTest : public SchedulerTest {
 protected:
  SpreadingTest() : SchedulerTest({.slots = 2}) {}

  /// Rows of the batches that are dispatched one after the other while nothing ends.
  std::vector<std::uint32_t> DispatchAll() {
    std::vector<std::uint32_t> rows;
    while (Dispatch() == Dispatched::kBatch) rows.push_back(batch_.rows);
    return rows;
  }
  static Scheduler::ModelOptions Model(double marginal, std::uint32_t instances = 2) {
    Scheduler::ModelOptions options = ModelNamed("m", 8);
    options.prior_marginal = marginal;
    options.max_concurrent = instances;
    return options;
  }
};

TEST_F(SpreadingTest, RowsThatCostInProportionAreSharedOutToIdleSlots) {
  const ModelIndex model = scheduler_.AddModel(Model(1));
  for (int i = 0; i < 5; ++i) Add(a_, model);
  EXPECT_THAT(DispatchAll(), ::testing::ElementsAre(3, 2));
}

TEST_F(SpreadingTest, MoreThanTwoFullBatchesStayFull) {
  const ModelIndex model = scheduler_.AddModel(Model(1));
  for (int i = 0; i < 20; ++i) Add(a_, model);
  EXPECT_THAT(DispatchAll(), ::testing::ElementsAre(8, 8));
}

TEST_F(SpreadingTest, RowsThatAreNearlyFreeShareARun) {
  const ModelIndex model = scheduler_.AddModel(Model(0.1));
  for (int i = 0; i < 4; ++i) Add(a_, model);
  EXPECT_THAT(DispatchAll(), ::testing::ElementsAre(4));
}

TEST_F(SpreadingTest, OneInstanceTakesAll) {
  const ModelIndex model = scheduler_.AddModel(Model(1, 1));
  for (int i = 0; i < 4; ++i) Add(a_, model);
  EXPECT_THAT(DispatchAll(), ::testing::ElementsAre(4));
}

TEST_F(SpreadingTest, WhatElseWaitsGetsTheOtherSlot) {
  const ModelIndex model = scheduler_.AddModel(Model(1));
  const ModelIndex other = scheduler_.AddModel(Model(1));
  for (int i = 0; i < 4; ++i) Add(a_, model);
  Add(a_, other);

  std::map<ModelIndex, std::uint32_t> rows;
  while (Dispatch() == Dispatched::kBatch) rows[batch_.model] += batch_.rows;

  EXPECT_EQ(rows[model], 4U);
  EXPECT_EQ(rows[other], 1U);
}

TEST_F(SchedulerTest, DifferentBatchKeysNeverShareABatch) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m"));
  for (int i = 0; i < 6; ++i) Add(a_, model, {}, static_cast<std::uint64_t>(i % 2));

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(batch_.rows, 3u);
  for (const WorkItem* item : batch_.items) EXPECT_EQ(item->batch_key, batch_.batch_key);
}

TEST_F(SchedulerTest, TooManyRowsAreRefusedWithTheLimit) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("resnet", 4));
  WorkItem& item = New(a_, model);
  item.rows = 5;

  const Result<void> result = scheduler_.Enqueue(item, now_);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(result.error().reason(), "batch_too_large");
  EXPECT_EQ(result.error().message(), "5 rows for model 'resnet', which takes 1 to 4 at once");
  EXPECT_EQ(item.state(), WorkItem::State::kIdle);
}

TEST_F(SchedulerTest, RowsThatDoNotFitWaitForTheNextBatch) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  for (int i = 0; i < 3; ++i) {
    WorkItem& item = New(a_, model);
    item.rows = 3;
    ASSERT_TRUE(scheduler_.Enqueue(item, now_).ok());
  }

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(batch_.rows, 6u);
  EXPECT_EQ(batch_.items.size(), 2u);
}

TEST_F(SchedulerTest, AFullQueueRefusesAndSaysWhenToComeBack) {
  Scheduler::ModelOptions options = ModelNamed("m");
  options.max_queued_items = 3;
  const ModelIndex model = scheduler_.AddModel(options);
  scheduler_.SetTenant(b_, {.name = "b"});
  for (int i = 0; i < 3; ++i) Add(i == 0 ? a_ : b_, model);

  const Result<void> result = scheduler_.Enqueue(New(a_, model), now_);

  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kUnavailable);
  EXPECT_EQ(result.error().reason(), "queue_full");
  EXPECT_EQ(result.error().message(), "Exceeds maximum queue size: model 'm' has 3 items queued, limit 3");
  EXPECT_GT(result.error().retry_after().value_or(Duration::zero()), Duration::zero());
  EXPECT_EQ(scheduler_.StatisticsOf(model).refused[static_cast<std::size_t>(Refusal::kQueueFull)], 1u);
}

TEST_F(SchedulerTest, AFloodingTenantLeavesPlacesForOthers) {
  Scheduler::ModelOptions options = ModelNamed("m");
  options.max_queued_items = 100;
  const ModelIndex model = scheduler_.AddModel(options);

  int accepted = 0;
  while (scheduler_.Enqueue(New(a_, model), now_).ok()) ++accepted;
  const Result<void> refused = scheduler_.Enqueue(New(a_, model), now_);

  EXPECT_EQ(accepted, 80) << "a share of 0.8";
  EXPECT_THAT(refused.error().message(), StartsWith("Exceeds maximum queue size: tenant 'a' has 80 items"));
  for (int i = 0; i < 10; ++i) Add(b_, model);
}

TEST_F(SchedulerTest, ALightLeadIsNotStretchedByAHeavyTenant) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  for (int i = 0; i < 20; ++i) Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  Add(b_, model);
  FinishByRows();

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(ItemsOf(b_), 1);
  EXPECT_EQ(ItemsOf(a_), 1) << "no more than the lead's";
  FinishByRows();
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(ItemsOf(a_), 8) << "alone again, the heavy tenant fills its batch";
}

TEST_F(SchedulerTest, ManyLightTenantsFillABatch) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  for (int i = 0; i < 12; ++i) Add(scheduler_.AddTenant({.name = "t"}), model);

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(batch_.rows, 8u);
}

TEST_F(SchedulerTest, RidersShareABatchByWeight) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  scheduler_.SetTenant(b_, {.name = "b", .weight = 3});
  for (int i = 0; i < 20; ++i) {
    Add(a_, model);
    Add(b_, model);
  }

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(ItemsOf(a_), 2);
  EXPECT_EQ(ItemsOf(b_), 6);
}

TEST_F(SchedulerTest, ABatchGrowsOnlyWhileItsTightestDeadlineHolds) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  Teach(model);
  for (int i = 0; i < 8; ++i) Add(a_, model);
  Add(a_, model, microseconds(4400));

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_NE(batch_.items.front()->deadline, kNever) << "earliest deadline first";
  EXPECT_LE(scheduler_.PredictRun(model, 0, batch_.rows), microseconds(4400));
  EXPECT_GE(batch_.rows, 3u);
}

TEST_F(SchedulerTest, AnUnreachableDeadlineIsRefusedAtOnce) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 10));
  Teach(model);
  for (int i = 0; i < 10; ++i) Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  const Result<void> late = scheduler_.Enqueue(New(a_, model, milliseconds(8)), now_);

  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code(), Code::kUnavailable);
  EXPECT_EQ(late.error().reason(), "deadline_unreachable");
  EXPECT_THAT(late.error().message(), HasSubstr("model 'm': predicted wait 10.000 ms and run 1."));
  EXPECT_GE(late.error().retry_after().value_or(Duration::zero()), milliseconds(2));
  EXPECT_TRUE(scheduler_.Enqueue(New(a_, model, milliseconds(20)), now_).ok());
}

TEST_F(SchedulerTest, WhatWouldBreakAnEarlierPromiseIsRefused) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  const ModelIndex other = scheduler_.AddModel(ModelNamed("n", 1));
  Teach(model);
  Teach(other);
  for (int i = 0; i < 4; ++i) Add(a_, model, microseconds(5500));

  const Result<void> late = scheduler_.Enqueue(New(b_, other, milliseconds(3)), now_);

  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().reason(), "deadline_unreachable");
  EXPECT_THAT(late.error().message(), HasSubstr("promised to what was accepted before"));
  EXPECT_TRUE(scheduler_.Enqueue(New(b_, other, milliseconds(30)), now_).ok());
}

/// Long deadlines can be promised far ahead, short ones cannot: without a bound the first would book the
/// device for good.
TEST_F(SchedulerTest, LongDeadlinesCannotBookTheDeviceAheadOfShortOnes) {
  const ModelIndex patient = scheduler_.AddModel(ModelNamed("patient", 1));
  const ModelIndex pressing = scheduler_.AddModel(ModelNamed("pressing", 1));
  Teach(patient);
  Teach(pressing);

  int asked = 0;
  int taken = 0;
  int patient_taken = 0;
  for (int i = 0; i < 400; ++i) {
    for (int flood = 0; flood < 3; ++flood) {
      const bool ok = scheduler_.Enqueue(New(b_, patient, milliseconds(100)), now_).ok();
      if (ok && i >= 200) ++patient_taken;
    }
    if (i % 4 == 0) {
      const bool ok = scheduler_.Enqueue(New(a_, pressing, milliseconds(8)), now_).ok();
      if (i >= 200) {
        ++asked;
        taken += ok ? 1 : 0;
      }
    }
    ASSERT_EQ(Dispatch(), Dispatched::kBatch);
    FinishByRows();
    EXPECT_TRUE(TakeRefused().empty()) << "what was promised is kept";
  }

  EXPECT_EQ(asked, 50);
  EXPECT_GE(taken, 45) << "a quarter of the device's time, within its half";
  EXPECT_GE(patient_taken, 120) << "the rest is the other's";
}

TEST_F(SchedulerTest, ADeadlineThatHasPassedIsRefusedEvenByAnIdleModel) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  WorkItem& item = New(a_, model);
  item.deadline = now_ - milliseconds(2);

  const Result<void> late = scheduler_.Enqueue(item, now_);

  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(late.error().message(),
            "model 'm': the deadline passed 2.000 ms before the request reached the queue");
}

TEST_F(SchedulerTest, AHopelessItemIsRefusedOnTimeThoughAllSlotsAreBusy) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  Teach(model);
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  WorkItem& item = Add(a_, model, milliseconds(5));
  EXPECT_TRUE(TakeRefused().empty());

  now_ = scheduler_.NextEvent();
  std::vector<RefusedItem> refused = TakeRefused();
  for (int i = 0; refused.empty() && i < 4;
       ++i) {  // The first wake may find that there is a little time left.
    now_ = scheduler_.NextEvent();
    refused = TakeRefused();
  }

  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].item, &item);
  EXPECT_EQ(refused[0].reason, Refusal::kDeadlineExpired);
  EXPECT_NEAR(Seconds(item.deadline - now_), 1e-3, 1e-4) << "when a run of 1 ms no longer fits";
  const Error error = scheduler_.ErrorFor(refused[0], now_);
  EXPECT_EQ(error.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(error.reason(), "deadline_unreachable");
  EXPECT_EQ(item.state(), WorkItem::State::kIdle);
}

TEST_F(SchedulerTest, AGuessedCostDoesNotRefuseForEver) {
  Scheduler::ModelOptions options = ModelNamed("m", 1);
  options.prior_cost = seconds(1);
  const ModelIndex model = scheduler_.AddModel(options);

  Add(a_, model, milliseconds(10));
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  Finish(milliseconds(1));

  EXPECT_LT(scheduler_.PredictRun(model, 0, 1), milliseconds(2));
  Add(a_, model, milliseconds(10));
}

TEST_F(SchedulerTest, APressingItemGoesAheadOfTheFairOrder) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  const ModelIndex other = scheduler_.AddModel(ModelNamed("n", 1));
  Teach(model);
  Teach(other);
  for (int i = 0; i < 20; ++i) Add(b_, other);
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  WorkItem& pressing = Add(a_, model, microseconds(3300));
  FinishByRows();

  do {
    ASSERT_EQ(Dispatch(), Dispatched::kBatch);
    FinishByRows();
  } while (pressing.state() != WorkItem::State::kDone);

  EXPECT_LE(now_, pressing.deadline);
}

TEST_F(SchedulerTest, EarlierDeadlinesGoFirstButNobodyWaitsBeyondTheHorizon) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  WorkItem& patient = Add(a_, model);
  now_ += seconds(9);
  WorkItem& timed = Add(a_, model, milliseconds(500));
  WorkItem& later = Add(a_, model, seconds(5));

  std::vector<WorkItem*> order;
  while (Dispatch() == Dispatched::kBatch) {
    order.push_back(batch_.items[0]);
    FinishByRows();
  }

  EXPECT_THAT(order, ::testing::ElementsAre(&timed, &patient, &later));
}

TEST_F(SchedulerTest, CancelTakesOutAQueuedItemAndMarksARunningOne) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  WorkItem& running = Add(a_, model);
  WorkItem& queued = Add(a_, model, seconds(1));
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  ASSERT_EQ(batch_.items[0], &queued) << "it has the deadline";

  EXPECT_TRUE(scheduler_.Cancel(running));
  EXPECT_EQ(running.state(), WorkItem::State::kIdle);
  EXPECT_FALSE(scheduler_.Cancel(running)) << "it is gone already";
  EXPECT_FALSE(scheduler_.Cancel(queued));
  EXPECT_TRUE(queued.cancelled());

  FinishByRows();
  EXPECT_FALSE(scheduler_.Cancel(queued)) << "it is done";
  EXPECT_EQ(Dispatch(), Dispatched::kNothing);
  EXPECT_EQ(scheduler_.StatisticsOf(model).cancelled_items, 1u);
}

TEST_F(SchedulerTest, ALongBatchIsLeftAloneWhenTheCallerHasLittleTime) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 8));
  Teach(model);
  for (int i = 0; i < 4; ++i) Add(a_, model);

  EXPECT_EQ(Dispatch(microseconds(500)), Dispatched::kTooLong);
  EXPECT_EQ(scheduler_.queued_items(), 4u);
  EXPECT_EQ(scheduler_.free_slots(), 1u);
  EXPECT_EQ(Dispatch(milliseconds(10)), Dispatched::kBatch);
  EXPECT_EQ(batch_.rows, 4u);
}

class TwoSlotsTest : public SchedulerTest {
 protected:
  TwoSlotsTest() : SchedulerTest({.slots = 2}) {}
};

TEST_F(TwoSlotsTest, AModelWithoutAFreeInstanceDoesNotHoldUpOthers) {
  const ModelIndex narrow = scheduler_.AddModel(ModelNamed("narrow", 1));
  const ModelIndex other = scheduler_.AddModel(ModelNamed("other", 1));
  Add(a_, narrow);
  Add(a_, narrow);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  const Batch first = batch_;
  EXPECT_EQ(Dispatch(), Dispatched::kNothing) << "one instance, and it is busy";
  Add(b_, other);

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(batch_.model, other);
  ASSERT_TRUE(scheduler_.Complete(first.id, milliseconds(1), RunOutcome::kOk, now_));
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(batch_.model, narrow);
}

TEST_F(TwoSlotsTest, MoreInstancesByUpdateTakeEffectAtOnce) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  Add(a_, model);
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  ASSERT_EQ(Dispatch(), Dispatched::kNothing);
  Scheduler::ModelOptions options = ModelNamed("m", 1);
  options.max_concurrent = 2;

  scheduler_.UpdateModel(model, options);

  EXPECT_EQ(Dispatch(), Dispatched::kBatch);
}

TEST_F(TwoSlotsTest, MoreSlotsByUpdateTakeEffectAtOnce) {
  Scheduler::ModelOptions options = ModelNamed("m", 1);
  options.max_concurrent = 4;
  const ModelIndex model = scheduler_.AddModel(options);
  for (int i = 0; i < 3; ++i) Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  ASSERT_EQ(Dispatch(), Dispatched::kNothing);

  scheduler_.SetSlots(3);

  EXPECT_EQ(Dispatch(), Dispatched::kBatch);
}

TEST_F(SchedulerTest, AQueueDelayLetsOthersGoFirstButNeverIdlesTheSlot) {
  Scheduler::ModelOptions options = ModelNamed("slow", 8);
  options.max_queue_delay = milliseconds(50);
  const ModelIndex patient = scheduler_.AddModel(options);
  const ModelIndex other = scheduler_.AddModel(ModelNamed("other", 1));
  Add(a_, patient);
  Add(b_, other);
  Add(b_, other);

  std::vector<ModelIndex> order;
  while (Dispatch() == Dispatched::kBatch) {
    order.push_back(batch_.model);
    FinishByRows();
  }

  EXPECT_THAT(order, ::testing::ElementsAre(other, other, patient));
}

TEST_F(SchedulerTest, InteractiveWorkGoesFirstInsideItsShare) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  for (int i = 0; i < 5; ++i) {
    WorkItem& item = New(a_, model);
    item.cls = Class::kBulk;
    ASSERT_TRUE(scheduler_.Enqueue(item, now_).ok());
  }
  WorkItem& urgent = New(b_, model);
  urgent.cls = Class::kInteractive;
  ASSERT_TRUE(scheduler_.Enqueue(urgent, now_).ok());

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(batch_.items[0], &urgent);
  EXPECT_EQ(batch_.cls, Class::kInteractive);
}

TEST_F(SchedulerTest, AColdModelsLoadIsChargedToWhoAskedForIt) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  scheduler_.ChargeLoad(a_, model, Class::kStandard, milliseconds(10));
  for (int i = 0; i < 20; ++i) {
    Add(a_, model);
    Add(b_, model);
  }

  int of_b = 0;
  for (int i = 0; i < 9; ++i) {
    ASSERT_EQ(Dispatch(), Dispatched::kBatch);
    of_b += ItemsOf(b_);
    FinishByRows();
  }

  EXPECT_EQ(of_b, 9);
}

TEST_F(SchedulerTest, FailuresOpenTheBreakerAndThrowTheQueueOut) {
  Scheduler::ModelOptions options = ModelNamed("m", 1);
  options.breaker.consecutive_failures = 2;
  const ModelIndex model = scheduler_.AddModel(options);
  for (int i = 0; i < 5; ++i) Add(a_, model);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Dispatch(), Dispatched::kBatch);
    Finish(milliseconds(1), false);
  }

  const std::vector<RefusedItem> refused = TakeRefused();

  ASSERT_EQ(refused.size(), 3u);
  EXPECT_EQ(refused[0].reason, Refusal::kBreakerOpen);
  EXPECT_EQ(scheduler_.ErrorFor(refused[0], now_).reason(), "breaker_open");
  const Result<void> next = scheduler_.Enqueue(New(a_, model), now_);
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().reason(), "breaker_open");
  EXPECT_EQ(next.error().retry_after(), Duration(seconds(1)));
}

TEST_F(SchedulerTest, ASingleProbeDecidesAHalfOpenBreaker) {
  Scheduler::ModelOptions options = ModelNamed("m", 8);
  options.breaker.consecutive_failures = 1;
  const ModelIndex model = scheduler_.AddModel(options);
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  Finish(milliseconds(1), false);
  now_ += seconds(1);

  WorkItem& abandoned = Add(a_, model);
  EXPECT_FALSE(scheduler_.Enqueue(New(a_, model), now_).ok()) << "one probe at a time";
  EXPECT_TRUE(scheduler_.Cancel(abandoned));
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(scheduler_.breaker_state(model), Breaker::State::kHalfOpen);
  FinishByRows();

  EXPECT_EQ(scheduler_.breaker_state(model), Breaker::State::kClosed);
  Add(a_, model);
  Add(a_, model);
}

TEST_F(SchedulerTest, AHungRunTripsTheBreakerOnce) {
  Scheduler::ModelOptions options = ModelNamed("m", 1);
  options.watchdog_floor = seconds(2);
  const ModelIndex model = scheduler_.AddModel(options);
  const ModelIndex healthy = scheduler_.AddModel(ModelNamed("healthy", 1));
  Add(a_, model);
  Add(a_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  const std::uint64_t hung = batch_.id;
  EXPECT_EQ(scheduler_.NextEvent(), batch_.overdue);
  EXPECT_EQ(batch_.overdue, now_ + seconds(2));
  now_ = batch_.overdue;

  std::vector<std::uint64_t> overdue;
  scheduler_.TakeOverdue(now_, overdue);
  scheduler_.TakeOverdue(now_, overdue);

  EXPECT_THAT(overdue, ::testing::ElementsAre(hung));
  EXPECT_EQ(TakeRefused().size(), 1u);
  EXPECT_EQ(scheduler_.breaker_state(model), Breaker::State::kOpen);
  EXPECT_EQ(scheduler_.StatisticsOf(model).hung_batches, 1u);
  Add(b_, healthy);
  EXPECT_EQ(Dispatch(), Dispatched::kNothing) << "the slot is still taken";
  now_ += seconds(60);
  ASSERT_TRUE(scheduler_.Complete(hung, seconds(62), RunOutcome::kOk, now_));
  EXPECT_EQ(scheduler_.breaker_state(model), Breaker::State::kOpen);
  EXPECT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(scheduler_.StatisticsOf(model).charged, seconds(2)) << "charged until it was called hung";
}

TEST_F(SchedulerTest, RemovingAModelHandsBackItsQueueAndLetsRunsEnd) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  for (int i = 0; i < 4; ++i) Add(i % 2 == 0 ? a_ : b_, model, {}, static_cast<std::uint64_t>(i));
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  std::vector<RefusedItem> out;
  scheduler_.RemoveModel(model, out);

  EXPECT_EQ(out.size(), 3u);
  EXPECT_EQ(scheduler_.ErrorFor(out[0], now_).reason(), "model_removed");
  EXPECT_EQ(scheduler_.queued_items(), 0u);
  EXPECT_EQ(scheduler_.Enqueue(New(a_, model), now_).error().reason(), "model_removed");
  FinishByRows();
  EXPECT_EQ(scheduler_.AddModel(ModelNamed("next")), model) << "the index is free again";
  Add(a_, model);
  EXPECT_EQ(Dispatch(), Dispatched::kBatch);
}

TEST_F(SchedulerTest, CompletingAnUnknownBatchIsRefused) {
  EXPECT_FALSE(scheduler_.Complete(42, milliseconds(1), RunOutcome::kOk, now_));
}

TEST_F(SchedulerTest, StatisticsAddUpOverModelTenantAndClass) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 4));
  for (int i = 0; i < 6; ++i) Add(i < 3 ? a_ : b_, model);
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(scheduler_.StatisticsOf(model).queued_items, 2u);
  EXPECT_EQ(scheduler_.StatisticsOf(model).queued_rows, 2u);
  EXPECT_EQ(scheduler_.StatisticsOf(model).running_items, 4u);
  EXPECT_EQ(scheduler_.StatisticsOf(a_, Class::kStandard).running_items, 2u);
  EXPECT_EQ(scheduler_.StatisticsOf(Class::kStandard).queued_items, 2u);
  FinishByRows();
  EXPECT_EQ(scheduler_.StatisticsOf(model).completed_items, 4u);
  EXPECT_EQ(scheduler_.StatisticsOf(model).charged, milliseconds(4));
  EXPECT_EQ(scheduler_.StatisticsOf(b_, Class::kStandard).charged, milliseconds(2));
  EXPECT_EQ(scheduler_.StatisticsOf(Class::kStandard).completed_rows, 4u);
  EXPECT_EQ(scheduler_.StatisticsOf(Class::kBulk).completed_rows, 0u);
}

TEST_F(SchedulerTest, PredictedWaitFollowsTheBacklogAndTheShare) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  Teach(model);
  EXPECT_EQ(scheduler_.PredictWait(a_, model, Class::kStandard, now_), Duration::zero());

  for (int i = 0; i < 100; ++i) Add(a_, model);

  EXPECT_NEAR(Seconds(scheduler_.PredictWait(a_, model, Class::kStandard, now_)), 0.1, 0.01);
  EXPECT_LT(scheduler_.PredictWait(b_, model, Class::kStandard, now_), milliseconds(3));
}

class FifoTest : public SchedulerTest {
 protected:
  FifoTest() : SchedulerTest({.slots = 1, .policy = Scheduler::Policy::kFifo}) {}
};

TEST_F(FifoTest, RunsInArrivalOrderAndBatchesTheHeadsModel) {
  const ModelIndex first = scheduler_.AddModel(ModelNamed("first", 8));
  const ModelIndex second = scheduler_.AddModel(ModelNamed("second", 8));
  Add(a_, first);
  Add(b_, second);
  Add(b_, first, {});
  WorkItem& urgent = New(b_, first);
  urgent.cls = Class::kInteractive;
  ASSERT_TRUE(scheduler_.Enqueue(urgent, now_).ok());

  ASSERT_EQ(Dispatch(), Dispatched::kBatch);

  EXPECT_EQ(batch_.model, first);
  EXPECT_EQ(batch_.rows, 3u);
  FinishByRows();
  ASSERT_EQ(Dispatch(), Dispatched::kBatch);
  EXPECT_EQ(batch_.model, second);
}

TEST_F(FifoTest, IgnoresDeadlines) {
  const ModelIndex model = scheduler_.AddModel(ModelNamed("m", 1));
  Teach(model);
  for (int i = 0; i < 10; ++i) Add(a_, model);
  WorkItem& late = Add(a_, model, microseconds(10));
  now_ += seconds(1);

  EXPECT_TRUE(TakeRefused().empty());
  for (int i = 0; i < 11; ++i) {
    ASSERT_EQ(Dispatch(), Dispatched::kBatch);
    FinishByRows();
  }
  EXPECT_EQ(late.state(), WorkItem::State::kDone);
}

}  // namespace
}  // namespace mezzo::sched
