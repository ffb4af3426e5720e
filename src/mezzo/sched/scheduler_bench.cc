// Question: what does one item cost from Enqueue() over its share of Dispatch() and Complete(), by number of
// flows and batch size? Budget: 1 µs per item at 10,000 flows (1 M items/s on one core), batches of 8 to 32.

#include <deque>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/sched/scheduler.h"
#include "mezzo/sched/simulator.h"

namespace mezzo::sched {
namespace {

/// Keeps `depth` items of every flow queued or running: every completed item is enqueued again.
class Load {
 public:
  Load(std::uint32_t tenants, std::uint32_t models, std::uint32_t batch, std::uint32_t depth, bool deadlines,
       bool is_protected)
      : deadlines_(deadlines) {
    Scheduler::Options options;
    options.slots = 4;
    options.max_queued_items = 1U << 24;
    options.tenant_queue_share = 1;
    // It looks at all and sheds nothing: every queue here is as long as it stays.
    options.overload = {.enabled = is_protected, .target = std::chrono::hours(1000)};
    scheduler_ = std::make_unique<Scheduler>(options);
    for (std::uint32_t m = 0; m < models; ++m) {
      scheduler_->AddModel({.name = "m",
                            .max_batch_rows = batch,
                            .max_queued_items = 1U << 24,
                            .max_concurrent = 4,
                            .breaker = {},
                            .prior_cost = std::chrono::microseconds(100)});
    }
    for (std::uint32_t t = 0; t < tenants; ++t) scheduler_->AddTenant({.name = "t", .weight = 1.0 + t % 3});
    Random random(7);
    std::vector<WorkItem*> order;
    for (std::uint32_t i = 0; i < depth; ++i) {
      for (std::uint32_t t = 0; t < tenants; ++t) {
        for (std::uint32_t m = 0; m < models; ++m) {
          WorkItem& item = items_.emplace_back();
          item.tenant = TenantIndex{t};
          item.model = ModelIndex{m};
          item.cls = static_cast<Class>(t % kClassCount);
          item.may_shed = true;
          order.push_back(&item);
        }
      }
    }
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
    for (WorkItem* item : order) Submit(*item);
  }

  /// Runs one batch; returns how many items it held.
  std::size_t Step() {
    now_ += std::chrono::microseconds(100);
    if (scheduler_->Dispatch(now_, batch_) != Dispatched::kBatch) return 0;
    scheduler_->Complete(batch_.id, std::chrono::microseconds(90 + batch_.rows), RunOutcome::kOk, now_);
    for (WorkItem* item : batch_.items) Submit(*item);
    return batch_.items.size();
  }

 private:
  void Submit(WorkItem& item) {
    if (deadlines_) item.deadline = now_ + std::chrono::hours(1);
    benchmark::DoNotOptimize(scheduler_->Enqueue(item, now_).ok());
  }

  const bool deadlines_;
  std::unique_ptr<Scheduler> scheduler_;
  std::deque<WorkItem> items_;
  Batch batch_;
  TimePoint now_{std::chrono::seconds(1)};
};

void RunLoad(benchmark::State& state, bool deadlines, bool is_protected = false) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  const auto batch = static_cast<std::uint32_t>(state.range(1));
  const std::uint32_t models = flows >= 100 ? 10 : 1;
  Load load(flows / models, models, batch, 4, deadlines, is_protected);
  std::size_t items = 0;
  for (auto _ : state) items += load.Step();
  state.SetItemsProcessed(static_cast<std::int64_t>(items));
}

void BM_EnqueueDispatchComplete(benchmark::State& state) { RunLoad(state, false); }
void BM_WithDeadlines(benchmark::State& state) { RunLoad(state, true); }
void BM_Protected(benchmark::State& state) { RunLoad(state, false, true); }

BENCHMARK(BM_EnqueueDispatchComplete)
    ->Args({1, 8})
    ->Args({100, 8})
    ->Args({10000, 1})
    ->Args({10000, 8})
    ->Args({10000, 32});
BENCHMARK(BM_WithDeadlines)->Args({100, 8})->Args({10000, 8})->Args({10000, 32});
// Overload protection switched on, while there is none.
BENCHMARK(BM_Protected)->Args({100, 8})->Args({10000, 8});

}  // namespace
}  // namespace mezzo::sched
