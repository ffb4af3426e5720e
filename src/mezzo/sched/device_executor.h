#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/sched/scheduler.h"
#include "mezzo/sched/work_item.h"

namespace mezzo::sched {

/// What happened to an item, for its metrics.
struct RunReport {
  Duration queued{};  ///< From Submit to the start of the run.
  Duration run{};     ///< The batch's time on the device.
  /// The item's part of it, by rows. The parts of a batch add up to `run` exactly, or to what it had taken
  /// when the watchdog called it a hang.
  Duration share{};
  Duration predicted{};  ///< What the latency model expected the run to take.
  std::uint32_t batch_rows = 0;
};

/// A work item that is told how it ended. The submitter owns it until Finish().
class DeviceItem : public WorkItem {
 public:
  virtual ~DeviceItem() = default;
  /// Called exactly once after a successful Submit(), with no lock held, on whatever thread ended it: a
  /// slot's, the pacer's, a loop's or the canceller's. `error` is null when the batch ran (its runner has
  /// then left the item's own result in the item). The item may be gone when this returns.
  /// Of an item with a chain, Finish() submits what should share a batch with what the batch's other items
  /// submit: no batch is formed until all of them have finished. Such a Finish() must be short.
  virtual void Finish(const Error* error, const RunReport& report) = 0;
};

/// Runs batches of one model. Implemented above.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  /// Runs on a slot and blocks. Leaves each item's result in the item. `slot` numbers the thread, so that
  /// runners can keep per-slot controls; Stop(slot) may come from another thread meanwhile.
  virtual RunOutcome Run(const Batch& batch, std::uint32_t slot) = 0;
  /// Asks the run on `slot` to end early (watchdog). Thread-safe.
  virtual void Stop(std::uint32_t slot) = 0;
};

/// Drives a Scheduler with threads: one for each slot, and a pacer that refuses and watches on time.
///
/// I/O threads lend themselves: what arrives in one turn of a loop is batched at the turn's end and, when it
/// is predicted to take less than `inline_limit`, runs right there. That saves two thread switches, which for
/// small models are longer than the run (docs/adr/0003). Longer batches go to the slot threads. At most
/// `slots` batches run at once either way.
///
/// Thread-safe. Items finish on a loop's thread only by being posted there by their owner: Finish() may be
/// called inside Cancel(), where the caller's cancellation callback is still on the stack. Loops that
/// submitted must be stopped before the executor is destroyed.
class DeviceExecutor {
 public:
  struct Options {
    std::string name = "cpu";
    Scheduler::Options scheduler;
    Duration inline_limit = std::chrono::microseconds(150);  ///< Zero: I/O threads never run batches.
    std::uint32_t spare_slots = 2;  ///< Threads that may stand in for ones whose run hangs.
  };
  DeviceExecutor(Options options, const Clock& clock);
  /// Refuses what is queued and waits for what runs.
  ~DeviceExecutor();
  DeviceExecutor(const DeviceExecutor&) = delete;
  DeviceExecutor& operator=(const DeviceExecutor&) = delete;

  ModelIndex AddModel(Scheduler::ModelOptions options, BatchRunner& runner) EXCLUDES(mu_);
  /// Fails what the model has queued with "model_removed" and waits until nothing of it runs. Not on a slot's
  /// or a loop's thread.
  void RemoveModel(ModelIndex model) EXCLUDES(mu_);
  TenantIndex AddTenant(Scheduler::TenantOptions options) EXCLUDES(mu_);
  /// From the next batch on.
  void SetTenant(TenantIndex tenant, Scheduler::TenantOptions options) EXCLUDES(mu_);
  void ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent) EXCLUDES(mu_);

  /// Queues the item, or refuses it with the scheduler's error; Finish() is then not called.
  Result<void> Submit(DeviceItem& item) EXCLUDES(mu_);
  /// Takes a queued item out (Finish gets kCancelled) or marks a running one. Harmless once it has finished,
  /// as long as the item still exists.
  void Cancel(DeviceItem& item) EXCLUDES(mu_);

  struct Totals {
    std::size_t queued_items = 0;
    std::uint32_t free_slots = 0;
    std::uint64_t inline_batches = 0;
    std::uint64_t slot_batches = 0;
  };
  [[nodiscard]] Totals totals() const EXCLUDES(mu_);
  [[nodiscard]] ModelStatistics StatisticsOf(ModelIndex model) const EXCLUDES(mu_);
  [[nodiscard]] FlowStatistics StatisticsOf(TenantIndex tenant, Class cls) const EXCLUDES(mu_);
  [[nodiscard]] FlowStatistics StatisticsOf(Class cls) const EXCLUDES(mu_);
  [[nodiscard]] OverloadStatistics overload() const EXCLUDES(mu_);
  [[nodiscard]] Breaker::State breaker_state(ModelIndex model) const EXCLUDES(mu_);
  [[nodiscard]] Duration PredictWait(TenantIndex tenant, ModelIndex model, Class cls) const EXCLUDES(mu_);
  /// Expected run of a batch of the model, over all batch keys.
  [[nodiscard]] Duration PredictRun(ModelIndex model, std::uint32_t rows) const EXCLUDES(mu_);
  [[nodiscard]] const Options& options() const { return options_; }

  /// Refuses new items with `error`; those queued still run. For shutdown.
  void StopAccepting(Error error) EXCLUDES(mu_);
  /// Asks every run in progress to end early, as the watchdog does. For shutdown past its grace.
  void StopRunning() EXCLUDES(mu_);
  /// Waits until nothing is queued or runs, at most until `until`; false when something still did.
  bool WaitIdle(TimePoint until) EXCLUDES(mu_);

 private:
  struct Running {
    std::uint64_t batch = 0;
    std::uint32_t slot = 0;
    BatchRunner* runner = nullptr;
    bool overdue = false;
  };
  struct Failed {
    DeviceItem* item;
    Error error;
    RunReport report;
  };
  struct Donor;

  void WorkSlot(std::uint32_t slot);
  void Pace();
  void LendLoop(runtime::Loop& loop);
  void DrainOnLoop(Donor& donor);
  /// Finishes the items of a batch that has run; while they submit their successors nothing is dispatched.
  void FinishItems(Batch& batch, TimePoint started, RunReport report, Duration charged, bool holds)
      EXCLUDES(mu_);
  /// Runs a dispatched batch on this thread and finishes its items.
  void RunBatch(Batch& batch, std::uint32_t slot, TimePoint started) EXCLUDES(mu_);
  Dispatched TryDispatch(Batch& batch, Duration longest, std::uint32_t slot, TimePoint now,
                         std::vector<Failed>& failed) REQUIRES(mu_);
  void TakeRefused(TimePoint now, std::vector<Failed>& failed) REQUIRES(mu_);
  static void FinishFailed(std::vector<Failed>& failed);
  void WakeSlot() REQUIRES(mu_);
  void WakePacerBy(TimePoint when) REQUIRES(mu_);
  void StandInFor(Running& running) REQUIRES(mu_);

  const Options options_;
  const Clock& clock_;
  const std::uint64_t id_;  // Never used twice in a process.
  mutable Mutex mu_;
  Scheduler scheduler_ GUARDED_BY(mu_);
  CondVar work_;                                           // A slot thread may find something.
  CondVar pace_;                                           // The pacer should look again.
  CondVar idle_;                                           // A batch ended.
  std::vector<BatchRunner*> runners_ GUARDED_BY(mu_);      // By ModelIndex.
  std::vector<std::uint32_t> running_of_ GUARDED_BY(mu_);  // Batches now, by ModelIndex.
  std::vector<Running> running_ GUARDED_BY(mu_);
  std::vector<RefusedItem> refused_ GUARDED_BY(mu_);
  std::vector<std::uint64_t> overdue_ GUARDED_BY(mu_);
  TimePoint pacer_wakes_ GUARDED_BY(mu_) = kNever;
  std::uint32_t sleeping_ GUARDED_BY(mu_) = 0;     // Slot threads that wait for work.
  std::uint32_t extra_slots_ GUARDED_BY(mu_) = 0;  // Standing in for hung ones.
  std::uint32_t next_slot_ GUARDED_BY(mu_) = 0;
  TimePoint waits_until_ GUARDED_BY(mu_) = kNever;  // Of the last TryDispatch(): for a chain's next step.
  std::uint32_t holds_ GUARDED_BY(mu_) = 0;         // Batches whose items submit their successors just now.
  std::uint64_t inline_batches_ GUARDED_BY(mu_) = 0;
  std::uint64_t slot_batches_ GUARDED_BY(mu_) = 0;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::unique_ptr<Error> closed_ GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Donor>> donors_ GUARDED_BY(mu_);  // One for each loop that ever submitted.
  std::vector<std::thread> threads_ GUARDED_BY(mu_);
  std::thread pacer_;
};

}  // namespace mezzo::sched
