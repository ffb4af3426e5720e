// Question: what does everything that one call records cost (stages, outcome, batch, statistics)? Budget: 2 %
// of the processor time of the cheapest call, about 15 µs: 300 ns.

#include <benchmark/benchmark.h>

#include "mezzo/inference/testing/fake_models.h"
#include "mezzo/inference/version_runtime.h"

namespace mezzo::inference {
namespace {

void BM_RecordsOfOneCall(benchmark::State& state) {
  const RealClock clock;
  observe::Registry registry;
  InferenceMetrics metrics(registry);
  sched::DeviceExecutor executor({.scheduler = {.slots = 1}}, clock);
  const auto version = testing::MakeVersion({.inputs = {{"IN", {-1, 2}}}, .run = nullptr});
  VersionRuntime runtime(*version, executor, metrics, clock, 1024, {});
  tenancy::Tenant tenant;
  tenant.id = TenantId("t");
  runtime::Loop loop;
  const RequestPlan plan;
  CallItem item(plan, loop);
  item.report = {.queued = Duration(1000), .run = Duration(9000), .batch_rows = 8};

  for (auto _ : state) {
    runtime.RecordEdges(Duration(700), Duration(900));
    runtime.RecordSuccess(tenant, item, Duration(12'000));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_RecordsOfOneCall);

// Question: what does a call pay whose tensors nobody looks at (drift)? Budget: 20 ns.
class Idle final : public CallSampler {
 public:
  using CallSampler::CallSampler;
  void Take(std::span<const NamedTensor> /*inputs*/, std::span<const NamedTensor> /*outputs*/) override {}
};
void BM_UnsampledCall(benchmark::State& state) {
  static Idle sampler(1U << 30U);
  for (auto _ : state) {
    if (sampler.Draw()) sampler.Take({}, {});
  }
}
BENCHMARK(BM_UnsampledCall)->Threads(1)->Threads(4);

}  // namespace
}  // namespace mezzo::inference
