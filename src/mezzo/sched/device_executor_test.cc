#include "mezzo/sched/device_executor.h"

#include <atomic>
#include <ctime>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::sched {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Runs batches as long as told; can be held at a gate and stopped.
class GateRunner final : public BatchRunner {
 public:
  RunOutcome Run(const Batch& batch, std::uint32_t /*slot*/) override {
    MutexLock lock(mu_);
    on_loop_ = runtime::Loop::Current() != nullptr;
    batches_.push_back(batch.items.size());
    changed_.NotifyAll();
    while (closed_ && !stopped_) changed_.Wait(mu_);
    stopped_ = false;
    return healthy_ ? RunOutcome::kOk : RunOutcome::kModelFault;
  }
  void Stop(std::uint32_t /*slot*/) override {
    MutexLock lock(mu_);
    ++stops_;
    stopped_ = stoppable_;
    changed_.NotifyAll();
  }

  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(mu_);
    closed_ = false;
    changed_.NotifyAll();
  }
  void set_stoppable(bool stoppable) {
    MutexLock lock(mu_);
    stoppable_ = stoppable;
  }
  void AwaitBatches(std::size_t count) {
    MutexLock lock(mu_);
    while (batches_.size() < count) changed_.Wait(mu_);
  }
  std::vector<std::size_t> batches() {
    MutexLock lock(mu_);
    return batches_;
  }
  int stops() {
    MutexLock lock(mu_);
    return stops_;
  }
  bool on_loop() {
    MutexLock lock(mu_);
    return on_loop_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mu_) = false;
  bool stopped_ GUARDED_BY(mu_) = false;
  bool stoppable_ GUARDED_BY(mu_) = false;
  bool healthy_ GUARDED_BY(mu_) = true;
  bool on_loop_ GUARDED_BY(mu_) = false;
  int stops_ GUARDED_BY(mu_) = 0;
  std::vector<std::size_t> batches_ GUARDED_BY(mu_);
};

struct Item final : DeviceItem {
  void Finish(const Error* error, const RunReport& its_report) override {
    report = its_report;
    finished.set_value(error == nullptr ? std::string("ran") : error->reason());
  }
  std::string Await() {
    auto future = finished.get_future();
    return future.wait_for(seconds(30)) == std::future_status::ready ? future.get() : std::string("hung");
  }
  std::promise<std::string> finished;
  RunReport report;
};

/// Submits itself again whenever it has run, until its steps are done.
struct ChainItem final : DeviceItem {
  void Finish(const Error* error, const RunReport& /*report*/) override {
    if (error != nullptr || --steps == 0) {
      finished.set_value(error == nullptr);
      return;
    }
    ASSERT_TRUE(executor->Submit(*this).ok());
    std::this_thread::sleep_for(milliseconds(2));  // Long enough for another slot to come in between.
  }

  DeviceExecutor* executor = nullptr;
  int steps = 0;
  std::promise<bool> finished;
};

class DeviceExecutorTest : public ::testing::Test {
 protected:
  void Start(DeviceExecutor::Options options, Scheduler::ModelOptions model = {.max_batch_rows = 8}) {
    executor_ = std::make_unique<DeviceExecutor>(std::move(options), clock_);
    tenant_ = executor_->AddTenant({.name = "t"});
    model_ = executor_->AddModel(std::move(model), runner_);
  }
  void TearDown() override { runner_.Open(); }
  void Prepare(Item& item) const {
    item.tenant = tenant_;
    item.model = model_;
  }

  RealClock clock_;
  GateRunner runner_;
  std::unique_ptr<DeviceExecutor> executor_;
  TenantIndex tenant_{};
  ModelIndex model_{};
};

TEST_F(DeviceExecutorTest, SlotThreadsBatchWhatWaits) {
  Start({.scheduler = {.slots = 1}, .inline_limit = Duration::zero()});
  runner_.Close();
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 5; ++i) {
    items.push_back(std::make_unique<Item>());
    Prepare(*items.back());
    ASSERT_TRUE(executor_->Submit(*items.back()).ok());
    if (i == 0) runner_.AwaitBatches(1);
  }

  runner_.Open();

  for (auto& item : items) EXPECT_EQ(item->Await(), "ran");
  EXPECT_THAT(runner_.batches(), ::testing::ElementsAre(1, 4));
}

TEST_F(DeviceExecutorTest, ItemsThatContinueMeetAgainInTheNextBatch) {
  Start({.scheduler = {.slots = 2}, .inline_limit = Duration::zero()},
        {.max_batch_rows = 1, .max_concurrent = 2});
  GateRunner chained;
  const ModelIndex model = executor_->AddModel({.max_batch_rows = 8, .max_concurrent = 1}, chained);
  runner_.Close();
  Item busy[2];
  for (Item& item : busy) {
    Prepare(item);
    ASSERT_TRUE(executor_->Submit(item).ok());
  }
  runner_.AwaitBatches(2);
  std::vector<std::unique_ptr<ChainItem>> items;
  for (int i = 0; i < 4; ++i) {
    items.push_back(std::make_unique<ChainItem>());
    items.back()->tenant = tenant_;
    items.back()->model = model;
    items.back()->executor = executor_.get();
    items.back()->steps = 5;
    items.back()->chain = items.back().get();
    items.back()->chain_rows = 1;
    ASSERT_TRUE(executor_->Submit(*items.back()).ok());
  }

  runner_.Open();

  for (auto& item : items) EXPECT_TRUE(item->finished.get_future().get());
  EXPECT_THAT(chained.batches(), ::testing::ElementsAre(4, 4, 4, 4, 4));
  executor_.reset();
}

TEST_F(DeviceExecutorTest, ASlotThatWaitsForAChainGoesOnWhenItIsLateAndRestsWhenNothingIsLeft) {
  Start({.scheduler = {.slots = 2, .burst_window = seconds(5)}, .inline_limit = Duration::zero()},
        {.max_batch_rows = 8, .max_concurrent = 2, .prior_cost = milliseconds(400)});
  runner_.Close();
  Item chained;
  Prepare(chained);
  chained.rows = 2;
  chained.cls = Class::kInteractive;
  chained.chain = &chained;
  chained.chain_rows = 2;
  ASSERT_TRUE(executor_->Submit(chained).ok());  // Predicted: 800 ms; waited for: 1.2 s.
  runner_.AwaitBatches(1);
  const auto bulk = [this](Item& item) {
    Prepare(item);
    item.cls = Class::kBulk;
    item.rows = 8;
    ASSERT_TRUE(executor_->Submit(item).ok());
  };
  Item cancelled;
  bulk(cancelled);
  std::this_thread::sleep_for(milliseconds(50));  // The other slot has looked, and waits.
  executor_->Cancel(cancelled);
  EXPECT_EQ(cancelled.Await(), "cancelled");
  std::this_thread::sleep_for(milliseconds(1250));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 10) << "nobody spins";
  EXPECT_THAT(runner_.batches(), ::testing::ElementsAre(1));

  Item late;
  bulk(late);
  runner_.AwaitBatches(2);  // While the chain's step runs on: it is late.
  runner_.Open();
  EXPECT_EQ(late.Await(), "ran");
  EXPECT_EQ(chained.Await(), "ran");
}

TEST_F(DeviceExecutorTest, ShortBatchesRunOnTheLoopAtTheEndOfItsTurn) {
  Start({.scheduler = {.slots = 1}, .inline_limit = milliseconds(1)},
        {.max_batch_rows = 8, .prior_cost = std::chrono::microseconds(10)});
  runtime::IoThreads loops(1);
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 3; ++i) {
    items.push_back(std::make_unique<Item>());
    Prepare(*items.back());
  }

  loops.loop(0).Post([&] {
    for (auto& item : items) {
      if (!executor_->Submit(*item).ok()) item->finished.set_value("refused");
    }
  });

  for (auto& item : items) EXPECT_EQ(item->Await(), "ran");
  EXPECT_TRUE(runner_.on_loop());
  EXPECT_THAT(runner_.batches(), ::testing::ElementsAre(3));
  EXPECT_EQ(executor_->totals().inline_batches, 1u);
  loops.Stop();
}

TEST_F(DeviceExecutorTest, LongBatchesAndModelsThatMayRunLongLeaveTheLoopToItsWork) {
  const Scheduler::ModelOptions kinds[] = {
      {.max_batch_rows = 8, .prior_cost = milliseconds(50)},
      {.max_batch_rows = 8, .may_run_long = true, .prior_cost = std::chrono::microseconds(10)}};
  for (const Scheduler::ModelOptions& options : kinds) {
    Start({.scheduler = {.slots = 1}, .inline_limit = milliseconds(1)}, options);
    runtime::IoThreads loops(1);
    Item item;
    Prepare(item);

    loops.loop(0).Post([&] {
      if (!executor_->Submit(item).ok()) item.finished.set_value("refused");
    });

    EXPECT_EQ(item.Await(), "ran");
    EXPECT_FALSE(runner_.on_loop());
    EXPECT_EQ(executor_->totals().slot_batches, 1u);
    loops.Stop();
  }
}

TEST_F(DeviceExecutorTest, AHungRunIsStoppedAndItsSlotReplaced) {
  Start(
      {.scheduler = {.slots = 1}, .inline_limit = Duration::zero()},
      {.max_batch_rows = 1, .max_concurrent = 2, .watchdog_multiple = 1, .watchdog_floor = milliseconds(20)});
  GateRunner other_runner;
  const ModelIndex other = executor_->AddModel({.name = "other"}, other_runner);
  runner_.Close();
  Item hung;
  Prepare(hung);
  ASSERT_TRUE(executor_->Submit(hung).ok());
  runner_.AwaitBatches(1);

  Item next;
  Prepare(next);
  next.model = other;
  ASSERT_TRUE(executor_->Submit(next).ok());

  EXPECT_EQ(next.Await(), "ran");  // On the thread that stands in, while the first one still hangs.
  EXPECT_GE(runner_.stops(), 1);
  Item refused;
  Prepare(refused);
  EXPECT_EQ(executor_->Submit(refused).error().reason(), "breaker_open");
  runner_.Open();
  EXPECT_EQ(hung.Await(), "ran");
  // What it took beyond the watchdog's time is charged to nobody, here as in the scheduler's books.
  EXPECT_LT(hung.report.share, hung.report.run);
  EXPECT_EQ(hung.report.share, executor_->StatisticsOf(hung.model).charged);
}

TEST_F(DeviceExecutorTest, CancelAndCompletionNeverBothEndAnItem) {
  Start({.scheduler = {.slots = 2}, .inline_limit = Duration::zero()},
        {.max_batch_rows = 4, .max_concurrent = 2});
  for (int round = 0; round < 300; ++round) {
    std::vector<std::unique_ptr<Item>> items;
    for (int i = 0; i < 8; ++i) {
      items.push_back(std::make_unique<Item>());
      Prepare(*items.back());
    }
    std::thread canceller;
    for (auto& item : items) ASSERT_TRUE(executor_->Submit(*item).ok());
    canceller = std::thread([&] {
      for (auto& item : items) executor_->Cancel(*item);  // A second set_value would throw.
    });
    for (auto& item : items) EXPECT_THAT(item->Await(), ::testing::AnyOf("ran", "cancelled"));
    canceller.join();
  }
}

TEST_F(DeviceExecutorTest, RemovingAModelFailsItsQueueAndWaitsForItsRuns) {
  Start({.scheduler = {.slots = 1}, .inline_limit = Duration::zero()}, {.max_batch_rows = 1});
  runner_.Close();
  Item running;
  Item queued;
  Prepare(running);
  Prepare(queued);
  ASSERT_TRUE(executor_->Submit(running).ok());
  runner_.AwaitBatches(1);
  ASSERT_TRUE(executor_->Submit(queued).ok());

  std::atomic<bool> removed{false};
  std::thread remover([&] {
    executor_->RemoveModel(model_);
    removed = true;
  });
  while (executor_->totals().queued_items > 0) std::this_thread::yield();
  EXPECT_FALSE(removed);
  runner_.Open();
  remover.join();

  EXPECT_EQ(running.Await(), "ran");
  EXPECT_EQ(queued.Await(), "model_removed");
}

TEST_F(DeviceExecutorTest, StopAcceptingRefusesAndWaitIdleWaits) {
  Start({.scheduler = {.slots = 1}, .inline_limit = Duration::zero()});
  runner_.Close();
  Item running;
  Prepare(running);
  ASSERT_TRUE(executor_->Submit(running).ok());
  runner_.AwaitBatches(1);

  executor_->StopAccepting(Unavailable("shutting_down", "the server is shutting down"));

  Item late;
  Prepare(late);
  EXPECT_EQ(executor_->Submit(late).error().reason(), "shutting_down");
  EXPECT_FALSE(executor_->WaitIdle(clock_.Now() + milliseconds(5)));
  runner_.Open();
  EXPECT_TRUE(executor_->WaitIdle(clock_.Now() + seconds(30)));
  EXPECT_EQ(running.Await(), "ran");
}

TEST_F(DeviceExecutorTest, QueuedItemsPastTheirDeadlineAreRefusedWhileTheSlotIsBusy) {
  Start({.scheduler = {.slots = 1}, .inline_limit = Duration::zero()},
        {.max_batch_rows = 1, .prior_cost = milliseconds(1)});
  runner_.Close();
  Item running;
  Item late;
  Prepare(running);
  Prepare(late);
  ASSERT_TRUE(executor_->Submit(running).ok());
  runner_.AwaitBatches(1);
  late.deadline = clock_.Now() + milliseconds(40);
  ASSERT_TRUE(executor_->Submit(late).ok());

  EXPECT_EQ(late.Await(), "deadline_unreachable");

  runner_.Open();
  EXPECT_EQ(running.Await(), "ran");
}

}  // namespace
}  // namespace mezzo::sched
