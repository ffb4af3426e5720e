#include "mezzo/sched/device_executor.h"

#include <algorithm>
#include <chrono>

namespace mezzo::sched {
namespace {

/// A batch worth waking another thread for while this one is busy.
constexpr Duration kWorthWaking = std::chrono::microseconds(60);

std::uint64_t NextExecutorId() {
  static std::atomic<std::uint64_t> next{1};  // A number source; no partner.
  return next.fetch_add(1, std::memory_order_relaxed);
}

DeviceItem& AsDeviceItem(WorkItem* item) { return static_cast<DeviceItem&>(*item); }

}  // namespace

/// A loop that lends its thread, with the slot number and the batch that its runs use.
struct DeviceExecutor::Donor {
  runtime::Loop* loop = nullptr;
  std::uint32_t slot = 0;
  bool drain_posted = false;  // Loop's thread only.
  Batch batch;
  std::vector<Failed> failed;
};

DeviceExecutor::DeviceExecutor(Options options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), id_(NextExecutorId()), scheduler_(options_.scheduler) {
  MutexLock lock(mu_);
  for (std::uint32_t i = 0; i < options_.scheduler.slots; ++i) {
    threads_.emplace_back([this, slot = next_slot_++] { WorkSlot(slot); });
  }
  pacer_ = std::thread([this] { Pace(); });
}

DeviceExecutor::~DeviceExecutor() {
  std::vector<Failed> failed;
  std::vector<std::thread> threads;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    for (std::uint32_t i = 0; i < runners_.size(); ++i) {
      if (runners_[i] != nullptr) scheduler_.RemoveModel(ModelIndex{i}, refused_);
    }
    TakeRefused(clock_.Now(), failed);
    threads.swap(threads_);
    work_.NotifyAll();
    pace_.NotifyAll();
  }
  FinishFailed(failed);
  for (auto& thread : threads) thread.join();
  pacer_.join();
}

ModelIndex DeviceExecutor::AddModel(Scheduler::ModelOptions options, BatchRunner& runner) {
  MutexLock lock(mu_);
  const ModelIndex model = scheduler_.AddModel(std::move(options));
  const auto i = static_cast<std::size_t>(model);
  if (runners_.size() <= i) {
    runners_.resize(i + 1);
    running_of_.resize(i + 1);
  }
  runners_[i] = &runner;
  return model;
}

void DeviceExecutor::RemoveModel(ModelIndex model) {
  std::vector<Failed> failed;
  {
    MutexLock lock(mu_);
    scheduler_.RemoveModel(model, refused_);
    TakeRefused(clock_.Now(), failed);
  }
  FinishFailed(failed);  // Before the wait: those who wait shall not wait for the run as well.
  MutexLock lock(mu_);
  while (running_of_[static_cast<std::size_t>(model)] > 0) idle_.Wait(mu_);
  runners_[static_cast<std::size_t>(model)] = nullptr;
}

void DeviceExecutor::SetTenant(TenantIndex tenant, Scheduler::TenantOptions options) {
  MutexLock lock(mu_);
  scheduler_.SetTenant(tenant, std::move(options));
}

TenantIndex DeviceExecutor::AddTenant(Scheduler::TenantOptions options) {
  MutexLock lock(mu_);
  return scheduler_.AddTenant(std::move(options));
}

void DeviceExecutor::ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent) {
  MutexLock lock(mu_);
  scheduler_.ChargeLoad(tenant, model, cls, spent);
}

Result<void> DeviceExecutor::Submit(DeviceItem& item) {
  runtime::Loop* loop = options_.inline_limit > Duration::zero() ? runtime::Loop::Current() : nullptr;
  const TimePoint now = clock_.Now();
  {
    MutexLock lock(mu_);
    if (closed_ != nullptr) return *closed_;
    MEZZO_TRY_VOID(scheduler_.Enqueue(item, now));
    if (item.deadline != kNever) WakePacerBy(scheduler_.NextEvent());
    if (loop == nullptr && sleeping_ > 0 && holds_ == 0 && scheduler_.free_slots() > 0) WakeSlot();
  }
  if (loop != nullptr) LendLoop(*loop);
  return {};
}

void DeviceExecutor::LendLoop(runtime::Loop& loop) {
  // By executor's id, not its address: an address may come again when an executor has gone.
  struct Known {
    std::uint64_t executor;
    runtime::Loop* loop;
    Donor* donor;
  };
  thread_local std::vector<Known> own;
  Donor* donor = nullptr;
  for (const Known& known : own) {
    if (known.executor == id_ && known.loop == &loop) donor = known.donor;
  }
  if (donor == nullptr) {
    auto made = std::make_unique<Donor>();
    donor = made.get();
    donor->loop = &loop;
    MutexLock lock(mu_);
    donor->slot = next_slot_++;
    donors_.push_back(std::move(made));
    own.push_back({id_, &loop, donor});
  }
  if (donor->drain_posted) return;
  donor->drain_posted = true;
  loop.AtTurnEnd([this, donor] { DrainOnLoop(*donor); });
}

void DeviceExecutor::DrainOnLoop(Donor& donor) {
  donor.drain_posted = false;
  const TimePoint now = clock_.Now();
  Dispatched dispatched = Dispatched::kNothing;
  {
    MutexLock lock(mu_);
    dispatched = TryDispatch(donor.batch, options_.inline_limit, donor.slot, now, donor.failed);
    if (dispatched == Dispatched::kTooLong || waits_until_ < kNever) WakeSlot();
    if (dispatched == Dispatched::kBatch) {
      ++inline_batches_;
      if (scheduler_.queued_items() > 0 && scheduler_.free_slots() > 0 &&
          donor.batch.predicted > kWorthWaking) {
        WakeSlot();
      }
    }
  }
  FinishFailed(donor.failed);
  if (dispatched != Dispatched::kBatch) return;
  RunBatch(donor.batch, donor.slot, now);
  // Whoever ends a run looks for the next; but first the loop takes in what has arrived meanwhile.
  if (!donor.drain_posted) {
    donor.drain_posted = true;
    donor.loop->AtTurnEnd([this, &donor] { DrainOnLoop(donor); });
  }
}

Dispatched DeviceExecutor::TryDispatch(Batch& batch, Duration longest, std::uint32_t slot, TimePoint now,
                                       std::vector<Failed>& failed) {
  waits_until_ = kNever;
  if (scheduler_.queued_items() == 0 || holds_ > 0) return Dispatched::kNothing;
  const Dispatched dispatched = scheduler_.Dispatch(now, batch, longest);
  waits_until_ = scheduler_.waits_until();
  if (scheduler_.has_refused()) TakeRefused(now, failed);
  if (dispatched == Dispatched::kBatch) {
    const auto model = static_cast<std::size_t>(batch.model);
    ++running_of_[model];
    running_.push_back({.batch = batch.id, .slot = slot, .runner = runners_[model]});
    WakePacerBy(batch.overdue);
  }
  return dispatched;
}

void DeviceExecutor::RunBatch(Batch& batch, std::uint32_t slot, TimePoint started) {
  BatchRunner* runner = nullptr;
  {
    MutexLock lock(mu_);
    runner = runners_[static_cast<std::size_t>(batch.model)];
  }
  const RunOutcome outcome = runner->Run(batch, slot);
  const TimePoint ended = clock_.Now();
  const RunReport report{.run = ended - started, .predicted = batch.predicted, .batch_rows = batch.rows};
  const bool holds = std::any_of(batch.items.begin(), batch.items.end(),
                                 [](const WorkItem* item) { return item->chain != nullptr; });
  {
    MutexLock lock(mu_);
    if (holds) ++holds_;
    scheduler_.Complete(batch.id, report.run, outcome, ended);
    const auto it = std::find_if(running_.begin(), running_.end(),
                                 [&](const Running& running) { return running.batch == batch.id; });
    if (it->overdue && extra_slots_ > 0) {
      --extra_slots_;
      scheduler_.SetSlots(options_.scheduler.slots + extra_slots_);
    }
    *it = running_.back();
    running_.pop_back();
    --running_of_[static_cast<std::size_t>(batch.model)];
    idle_.NotifyAll();
  }
  // As the scheduler charges it: what a hang takes beyond the moment it was called one is nobody's doing.
  const Duration charged =
      std::clamp(report.run, Duration::zero(), std::max(Duration::zero(), batch.overdue - started));
  FinishItems(batch, started, report, charged, holds);
}

void DeviceExecutor::FinishItems(Batch& batch, TimePoint started, RunReport report, Duration charged,
                                 bool holds) {
  std::uint64_t rows = 0;
  Duration before{};
  for (WorkItem* item : batch.items) {
    report.queued = started - item->enqueued();
    rows += item->rows;
    const Duration until =
        rows >= batch.rows
            ? charged
            : Duration(charged * static_cast<std::int64_t>(rows) / static_cast<std::int64_t>(batch.rows));
    report.share = until - before;
    before = until;
    AsDeviceItem(item).Finish(nullptr, report);
  }
  batch.items.clear();
  if (!holds) return;
  MutexLock lock(mu_);
  if (--holds_ > 0) return;
  idle_.NotifyAll();
  if (scheduler_.queued_items() == 0) return;
  // This thread looks for work next; whoever found the door closed has to be told.
  for (std::uint32_t free = scheduler_.free_slots(); free > 0 && sleeping_ > 0; --free) work_.NotifyOne();
}

void DeviceExecutor::WorkSlot(std::uint32_t slot) {
  runtime::SetThreadName("device-" + std::to_string(slot));
  Batch batch;
  std::vector<Failed> failed;
  while (true) {
    TimePoint now;
    Dispatched dispatched = Dispatched::kNothing;
    {
      MutexLock lock(mu_);
      while (true) {
        now = clock_.Now();
        dispatched = TryDispatch(batch, Duration::max(), slot, now, failed);
        if (dispatched == Dispatched::kBatch || !failed.empty()) break;
        if (stopping_) return;
        ++sleeping_;
        if (waits_until_ == kNever) {
          work_.Wait(mu_);
        } else {
          (void)work_.WaitUntil(mu_, waits_until_);
        }
        --sleeping_;
      }
      if (dispatched == Dispatched::kBatch) {
        ++slot_batches_;
        if (scheduler_.queued_items() > 0 && sleeping_ > 0 && scheduler_.free_slots() > 0) WakeSlot();
      }
    }
    FinishFailed(failed);
    if (dispatched == Dispatched::kBatch) RunBatch(batch, slot, now);
  }
}

void DeviceExecutor::Pace() {
  runtime::SetThreadName("device-pacer");
  std::vector<Failed> failed;
  while (true) {
    {
      MutexLock lock(mu_);
      if (stopping_) return;
      const TimePoint now = clock_.Now();
      TakeRefused(now, failed);
      scheduler_.TakeOverdue(now, overdue_);
      for (const std::uint64_t batch : overdue_) {
        for (Running& running : running_) {
          if (running.batch == batch) StandInFor(running);
        }
      }
      overdue_.clear();
      TakeRefused(now, failed);
      if (failed.empty()) {
        pacer_wakes_ = scheduler_.NextEvent();
        if (pacer_wakes_ == kNever) {
          pace_.Wait(mu_);
        } else {
          // An instant more, so that the wake-up does not come just before the event.
          (void)pace_.WaitUntil(mu_, pacer_wakes_ + std::chrono::microseconds(50));
        }
        pacer_wakes_ = TimePoint::min();  // Awake: no need to notify.
      }
    }
    FinishFailed(failed);
  }
}

void DeviceExecutor::StandInFor(Running& running) {
  running.runner->Stop(running.slot);
  if (running.overdue || extra_slots_ >= options_.spare_slots) return;
  running.overdue = true;
  ++extra_slots_;
  scheduler_.SetSlots(options_.scheduler.slots + extra_slots_);
  // Threads beyond the slots just sleep, so they are kept for the next time.
  if (threads_.size() < options_.scheduler.slots + extra_slots_) {
    threads_.emplace_back([this, slot = next_slot_++] { WorkSlot(slot); });
  } else {
    WakeSlot();
  }
}

void DeviceExecutor::WakePacerBy(TimePoint when) {
  if (when >= pacer_wakes_) return;
  pacer_wakes_ = when;
  pace_.NotifyOne();
}

void DeviceExecutor::WakeSlot() {
  if (sleeping_ > 0) work_.NotifyOne();
}

void DeviceExecutor::TakeRefused(TimePoint now, std::vector<Failed>& failed) {
  scheduler_.TakeRefused(now, refused_);
  for (const RefusedItem& refused : refused_) {
    failed.push_back({.item = &AsDeviceItem(refused.item),
                      .error = scheduler_.ErrorFor(refused, now),
                      .report = {.queued = now - refused.item->enqueued()}});
  }
  if (!refused_.empty()) idle_.NotifyAll();
  refused_.clear();
}

void DeviceExecutor::FinishFailed(std::vector<Failed>& failed) {
  for (const Failed& one : failed) one.item->Finish(&one.error, one.report);
  failed.clear();
}

void DeviceExecutor::Cancel(DeviceItem& item) {
  RunReport report;
  {
    MutexLock lock(mu_);
    if (!scheduler_.Cancel(item)) return;
    report.queued = clock_.Now() - item.enqueued();
    idle_.NotifyAll();
  }
  const Error error = Cancelled("cancelled", "the call was cancelled while it was queued");
  item.Finish(&error, report);
}

DeviceExecutor::Totals DeviceExecutor::totals() const {
  MutexLock lock(mu_);
  return {.queued_items = scheduler_.queued_items(),
          .free_slots = scheduler_.free_slots(),
          .inline_batches = inline_batches_,
          .slot_batches = slot_batches_};
}

ModelStatistics DeviceExecutor::StatisticsOf(ModelIndex model) const {
  MutexLock lock(mu_);
  return scheduler_.StatisticsOf(model);
}

FlowStatistics DeviceExecutor::StatisticsOf(TenantIndex tenant, Class cls) const {
  MutexLock lock(mu_);
  return scheduler_.StatisticsOf(tenant, cls);
}

FlowStatistics DeviceExecutor::StatisticsOf(Class cls) const {
  MutexLock lock(mu_);
  return scheduler_.StatisticsOf(cls);
}

OverloadStatistics DeviceExecutor::overload() const {
  MutexLock lock(mu_);
  return scheduler_.overload();
}

Breaker::State DeviceExecutor::breaker_state(ModelIndex model) const {
  MutexLock lock(mu_);
  return scheduler_.breaker_state(model);
}

Duration DeviceExecutor::PredictWait(TenantIndex tenant, ModelIndex model, Class cls) const {
  MutexLock lock(mu_);
  return scheduler_.PredictWait(tenant, model, cls, clock_.Now());
}

Duration DeviceExecutor::PredictRun(ModelIndex model, std::uint32_t rows) const {
  MutexLock lock(mu_);
  return scheduler_.PredictRun(model, 0, rows);
}

void DeviceExecutor::StopAccepting(Error error) {
  MutexLock lock(mu_);
  closed_ = std::make_unique<Error>(std::move(error));
}

void DeviceExecutor::StopRunning() {
  MutexLock lock(mu_);
  for (const Running& running : running_) running.runner->Stop(running.slot);
}

bool DeviceExecutor::WaitIdle(TimePoint until) {
  MutexLock lock(mu_);
  const auto busy = [this]() REQUIRES(mu_) {
    return scheduler_.queued_items() > 0 || !running_.empty() || holds_ > 0;
  };
  while (busy()) {
    if (!idle_.WaitUntil(mu_, until)) return !busy();
  }
  return true;
}

}  // namespace mezzo::sched
