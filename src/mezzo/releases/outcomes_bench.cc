// Question: what does recording the outcome of one call cost, alone and beside other threads on one arm?
// Budget: 100 ns.

#include <benchmark/benchmark.h>

#include "mezzo/releases/outcomes.h"

namespace mezzo::releases {
namespace {

void BM_Record(benchmark::State& state) {
  static ArmRecorder recorder("r");
  std::int64_t latency = 1'000'000 + state.thread_index();
  for (auto _ : state) {
    latency = latency * 25214903917 % 50'000'000 + 100'000;
    recorder.Record({.latency = Duration(latency), .cost = 0.001});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Record)->Threads(1)->Threads(2);

}  // namespace
}  // namespace mezzo::releases
