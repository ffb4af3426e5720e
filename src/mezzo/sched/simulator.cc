#include "mezzo/sched/simulator.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <queue>

#include <fmt/format.h>

#include "mezzo/base/check.h"

namespace mezzo::sched {
namespace {

constexpr std::size_t kMaxViolations = 8;
constexpr TimePoint kStart = TimePoint(std::chrono::seconds(1));

struct SimulatedItem : WorkItem {
  std::uint32_t flow = 0;
  bool counted = false;
  bool live = false;  // Accepted and not come back yet.
  std::uint64_t generation = 0;
  TimePoint arrival{};
};

enum class Kind : std::uint8_t { kArrival, kTraceArrival, kClient, kRunEnd, kCancel };

struct Event {
  TimePoint time;
  std::uint64_t sequence;
  Kind kind;
  std::uint32_t index;  // Flow, or slot.
  SimulatedItem* item;
  std::uint64_t generation;
  friend bool operator>(const Event& a, const Event& b) {
    return a.time > b.time || (a.time == b.time && a.sequence > b.sequence);
  }
};

class Run {
 public:
  explicit Run(const Simulation& simulation);
  SimulationResult Play();

 private:
  struct Slot {
    bool busy = false;
    Batch batch;
    TimePoint start{};
    Duration run{};
    bool ok = true;
    std::size_t left_behind = 0;
  };

  void Schedule(TimePoint time, Kind kind, std::uint32_t index, SimulatedItem* item = nullptr);
  void StartFlows();
  void Handle(const Event& event);
  void Arrive(std::uint32_t flow);
  void EndRun(Slot& slot);
  void Cancel(const Event& event);
  void Settle();
  void DispatchAll();
  void CheckIdle();
  void Comeback(SimulatedItem& item);
  void ClientReturns(std::uint32_t flow, Duration after);
  [[nodiscard]] bool Active(const SimulatedFlow& flow) const;
  [[nodiscard]] bool Measured(TimePoint time) const;
  void Violate(std::string what);

  const Simulation& simulation_;
  Scheduler scheduler_;
  Random random_;
  TimePoint now_ = kStart;
  TimePoint end_;
  std::uint64_t sequence_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::size_t> next_in_trace_;
  std::deque<SimulatedItem> items_;
  std::vector<SimulatedItem*> free_items_;
  std::uint64_t live_items_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::uint32_t> queued_;   // By model, kept apart from the scheduler's own counts.
  std::vector<std::uint32_t> running_;  // Batches, by model.
  std::vector<RefusedItem> refused_;
  std::vector<std::uint64_t> overdue_;
  SimulationResult result_;
};

Run::Run(const Simulation& simulation)
    : simulation_(simulation),
      scheduler_(simulation.scheduler),
      random_(simulation.seed),
      end_(kStart + simulation.duration),
      next_in_trace_(simulation.flows.size()),
      queued_(simulation.models.size()),
      running_(simulation.models.size()) {
  for (const SimulatedModel& model : simulation.models) scheduler_.AddModel(model.options);
  for (const Scheduler::TenantOptions& tenant : simulation.tenants) scheduler_.AddTenant(tenant);
  for (std::uint32_t i = 0; i < simulation.scheduler.slots; ++i) slots_.push_back(std::make_unique<Slot>());
  result_.flows.resize(simulation.flows.size());
  result_.schedule_hash = 0xCBF29CE484222325ULL;
}

void Run::Schedule(TimePoint time, Kind kind, std::uint32_t index, SimulatedItem* item) {
  events_.push({time, ++sequence_, kind, index, item, item != nullptr ? item->generation : 0});
}

bool Run::Active(const SimulatedFlow& flow) const {
  return now_ < end_ && (flow.until == Duration::max() || now_ < kStart + flow.until);
}

void Run::StartFlows() {
  for (std::uint32_t i = 0; i < simulation_.flows.size(); ++i) {
    const SimulatedFlow& flow = simulation_.flows[i];
    if (flow.rate > 0) {
      Schedule(kStart + flow.from + FromSeconds(random_.Exponential() / flow.rate), Kind::kArrival, i);
    }
    for (std::uint32_t c = 0; c < flow.clients; ++c) Schedule(kStart + flow.from, Kind::kClient, i);
    if (!flow.trace.empty()) Schedule(kStart + flow.trace[0], Kind::kTraceArrival, i);
  }
}

SimulationResult Run::Play() {
  StartFlows();
  // After the end nothing arrives any more; what was accepted still has to come back.
  while (!events_.empty() || scheduler_.queued_items() > 0) {
    const TimePoint wake = scheduler_.NextEvent();
    if (!events_.empty() && events_.top().time <= wake) {
      const Event event = events_.top();
      events_.pop();
      now_ = std::max(now_, event.time);
      Handle(event);
    } else if (wake < kNever) {
      now_ = std::max(now_, wake);
    } else {
      Violate(fmt::format("{} items are queued and nothing will ever run them", scheduler_.queued_items()));
      break;
    }
    Settle();
  }
  if (live_items_ != 0) Violate(fmt::format("{} accepted items never came back", live_items_));
  return std::move(result_);
}

void Run::Handle(const Event& event) {
  const SimulatedFlow* flow =
      event.kind == Kind::kRunEnd || event.kind == Kind::kCancel ? nullptr : &simulation_.flows[event.index];
  switch (event.kind) {
    case Kind::kArrival:
      if (!Active(*flow)) return;
      Schedule(now_ + FromSeconds(random_.Exponential() / flow->rate), Kind::kArrival, event.index);
      Arrive(event.index);
      return;
    case Kind::kTraceArrival: {
      const std::size_t next = ++next_in_trace_[event.index];
      if (next < flow->trace.size()) Schedule(kStart + flow->trace[next], Kind::kTraceArrival, event.index);
      Arrive(event.index);
      return;
    }
    case Kind::kClient:
      if (Active(*flow)) Arrive(event.index);
      return;
    case Kind::kRunEnd:
      EndRun(*slots_[event.index]);
      return;
    case Kind::kCancel:
      Cancel(event);
      return;
  }
}

void Run::Arrive(std::uint32_t index) {
  const SimulatedFlow& flow = simulation_.flows[index];
  FlowResult& result = result_.flows[index];
  if (free_items_.empty()) free_items_.push_back(&items_.emplace_back());
  SimulatedItem& item = *free_items_.back();
  item.tenant = flow.tenant;
  item.model = flow.model;
  item.cls = flow.cls;
  item.rows = flow.rows;
  item.batch_key = flow.batch_key;
  item.deadline = flow.deadline > Duration::zero() ? now_ + flow.deadline : kNever;
  item.may_shed = flow.may_shed;
  item.flow = index;
  item.arrival = now_;
  item.counted = Measured(now_);
  if (item.counted) ++result.offered;

  const Result<void> accepted = scheduler_.Enqueue(item, now_);
  if (!accepted.ok()) {
    const Error& error = accepted.error();
    Refusal reason = Refusal::kQueueFull;
    if (error.reason() == "deadline_unreachable") {
      reason =
          error.code() == Code::kDeadlineExceeded ? Refusal::kDeadlineExpired : Refusal::kDeadlineUnreachable;
    }
    if (error.reason() == "overloaded") reason = Refusal::kOverloaded;
    if (error.reason() == "breaker_open") reason = Refusal::kBreakerOpen;
    if (error.reason() == "batch_too_large") reason = Refusal::kBatchTooLarge;
    if (item.counted) ++result.refused[static_cast<std::size_t>(reason)];
    ClientReturns(index, error.retry_after().value_or(std::chrono::milliseconds(1)));
    return;
  }
  free_items_.pop_back();
  item.live = true;
  ++item.generation;
  ++live_items_;
  if (item.counted) ++result.accepted;
  const std::uint32_t in_model = ++queued_[static_cast<std::size_t>(flow.model)];
  if (in_model > simulation_.models[static_cast<std::size_t>(flow.model)].options.max_queued_items ||
      scheduler_.queued_items() > simulation_.scheduler.max_queued_items) {
    Violate("a queue is longer than its limit");
  }
  result_.most_queued = std::max(result_.most_queued, scheduler_.queued_items());
  if (flow.cancel_rate > 0 && random_.Uniform() < flow.cancel_rate) {
    Schedule(now_ + FromSeconds(Seconds(flow.cancel_after) * random_.Exponential()), Kind::kCancel, index,
             &item);
  }
}

void Run::ClientReturns(std::uint32_t flow, Duration after) {
  if (simulation_.flows[flow].clients > 0) Schedule(now_ + after, Kind::kClient, flow);
}

void Run::Comeback(SimulatedItem& item) {
  if (!item.live) Violate("an item came back twice");
  item.live = false;
  --live_items_;
  free_items_.push_back(&item);
}

void Run::EndRun(Slot& slot) {
  const auto model = static_cast<std::size_t>(slot.batch.model);
  --running_[model];
  if (simulation_.on_run) {
    simulation_.on_run({.start = slot.start, .end = now_, .batch = &slot.batch, .queued = slot.left_behind});
  }
  MEZZO_CHECK(scheduler_.Complete(slot.batch.id, slot.run,
                                  slot.ok ? RunOutcome::kOk : RunOutcome::kModelFault, now_));
  slot.busy = false;
  for (WorkItem* each : slot.batch.items) {
    auto& item = static_cast<SimulatedItem&>(*each);
    FlowResult& result = result_.flows[item.flow];
    if (item.state() != WorkItem::State::kDone) Violate("an item of a completed batch is not done");
    if (Measured(slot.start)) result.service += slot.run * item.rows / slot.batch.rows;
    if (item.counted && item.cancelled()) {
      ++result.cancelled;
    } else if (item.counted) {
      ++result.completed;
      if (now_ <= item.deadline) ++result.in_time;
      result.latencies.push_back(now_ - item.arrival);
    }
    Comeback(item);
    ClientReturns(item.flow, Duration::zero());
  }
}

void Run::Cancel(const Event& event) {
  SimulatedItem& item = *event.item;
  if (!item.live || item.generation != event.generation) return;
  const bool queued = item.state() == WorkItem::State::kQueued;
  if (scheduler_.Cancel(item) != queued) Violate("Cancel() took out what was not queued, or failed to");
  if (!queued) return;
  --queued_[static_cast<std::size_t>(item.model)];
  if (item.counted) ++result_.flows[item.flow].cancelled;
  Comeback(item);
  ClientReturns(item.flow, Duration::zero());
}

void Run::Settle() {
  overdue_.clear();
  scheduler_.TakeOverdue(now_, overdue_);
  DispatchAll();
  refused_.clear();
  scheduler_.TakeRefused(now_, refused_);
  for (const RefusedItem& refused : refused_) {
    auto& item = static_cast<SimulatedItem&>(*refused.item);
    --queued_[static_cast<std::size_t>(item.model)];
    if (item.counted) ++result_.flows[item.flow].refused[static_cast<std::size_t>(refused.reason)];
    Comeback(item);
    ClientReturns(item.flow, std::chrono::milliseconds(1));
  }
  CheckIdle();
}

void Run::DispatchAll() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = *slots_[i];
    if (slot.busy) continue;
    if (scheduler_.Dispatch(now_, slot.batch) != Dispatched::kBatch) return;
    const auto index = static_cast<std::size_t>(slot.batch.model);
    const SimulatedModel& model = simulation_.models[index];
    slot.busy = true;
    slot.start = now_;
    slot.left_behind = scheduler_.queued_items();
    const double noise = model.noise > 0 ? std::exp(model.noise * random_.Normal()) : 1;
    slot.run = FromSeconds(Seconds(model.base + model.per_row * slot.batch.rows) * noise);
    if (model.hang_rate > 0 && random_.Uniform() < model.hang_rate) slot.run = model.hang;
    slot.ok = model.failure_rate <= 0 || random_.Uniform() >= model.failure_rate;
    ++running_[index];
    queued_[index] -= static_cast<std::uint32_t>(slot.batch.items.size());
    ++result_.batches;
    result_.rows += slot.batch.rows;
    if (Measured(now_)) result_.busy += slot.run;
    const auto mix = [this](std::uint64_t word) {
      result_.schedule_hash = (result_.schedule_hash ^ word) * 0x100000001B3ULL;
    };
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    for (const WorkItem* item : slot.batch.items) {
      const auto& each = static_cast<const SimulatedItem&>(*item);
      mix(static_cast<std::uint64_t>(each.arrival.time_since_epoch().count()) ^
          (std::uint64_t{each.flow} << 48));
    }
    if (running_[index] > model.options.max_concurrent) Violate("a model runs on more instances than it has");
    Schedule(now_ + slot.run, Kind::kRunEnd, i);
  }
}

void Run::CheckIdle() {
  const bool idle = std::any_of(slots_.begin(), slots_.end(), [](const auto& slot) { return !slot->busy; });
  if (!idle) return;
  for (std::size_t i = 0; i < queued_.size(); ++i) {
    if (queued_[i] > 0 && running_[i] < simulation_.models[i].options.max_concurrent) {
      Violate(fmt::format("at {:.6f} s a slot is idle while {} items of model {} wait",
                          Seconds(now_ - kStart), queued_[i], i));
    }
  }
}

bool Run::Measured(TimePoint time) const { return time >= kStart + simulation_.measure_from && time < end_; }

void Run::Violate(std::string what) {
  if (result_.violations.size() < kMaxViolations) result_.violations.push_back(std::move(what));
}

}  // namespace

std::uint64_t Random::Next() {
  std::uint64_t x = (state_ += 0x9E3779B97F4A7C15ULL);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

double Random::Exponential() { return -std::log1p(-Uniform()); }

double Random::Normal() {
  // Box and Muller; the second value is not kept, so that the state stays one word.
  const double radius = std::sqrt(2 * Exponential());
  return radius * std::cos(6.283185307179586 * Uniform());
}

std::uint64_t FlowResult::refusals() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : refused) sum += count;
  return sum;
}

Duration FlowResult::Latency(double quantile) const {
  if (latencies.empty()) return {};
  std::vector<Duration> sorted = latencies;
  const auto rank = static_cast<std::size_t>(std::llround(quantile * static_cast<double>(sorted.size() - 1)));
  const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(sorted.begin(), nth, sorted.end());
  return *nth;
}

FlowResult SimulationResult::Total() const {
  FlowResult total;
  for (const FlowResult& flow : flows) {
    total.offered += flow.offered;
    total.accepted += flow.accepted;
    total.completed += flow.completed;
    total.in_time += flow.in_time;
    total.cancelled += flow.cancelled;
    for (std::size_t i = 0; i < kRefusalCount; ++i) total.refused[i] += flow.refused[i];
    total.service += flow.service;
    total.latencies.insert(total.latencies.end(), flow.latencies.begin(), flow.latencies.end());
  }
  return total;
}

SimulationResult Simulate(const Simulation& simulation) { return Run(simulation).Play(); }

}  // namespace mezzo::sched
