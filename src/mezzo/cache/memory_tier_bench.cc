#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/base/clock.h"
#include "mezzo/cache/memory_tier.h"

namespace mezzo::cache {
namespace {

class Blob final : public Cached {
 public:
  [[nodiscard]] ByteCount bytes() const override { return 700; }
};

/// A tier for a tenth of 100,000 keys, and a Zipf 1.0 trace over them.
struct World {
  World() {
    std::mt19937_64 random(1);
    std::vector<double> cumulated;
    double sum = 0;
    for (std::int64_t i = 0; i < 100'000; ++i) {
      keys.push_back(KeyBuilder("bench").Integer(i).Finish());
      cumulated.push_back(sum += 1.0 / static_cast<double>(i + 1));
    }
    for (int i = 0; i < 1 << 20; ++i) {
      const double draw = std::uniform_real_distribution<double>(0, sum)(random);
      trace.push_back(static_cast<std::uint32_t>(std::lower_bound(cumulated.begin(), cumulated.end(), draw) -
                                                 cumulated.begin()));
    }
    for (const std::uint32_t k : trace) Ask(k);
  }
  bool Ask(std::uint32_t k) {
    if (tier.Get(keys[k]).has_value()) return true;
    tier.Put(keys[k], {.value = std::make_shared<Blob>()});
    return false;
  }

  RealClock clock;
  MemoryTier tier{{.max_bytes = ByteCount{10'000} * 1024, .max_entry_bytes = 64 << 10}, clock};
  std::vector<CacheKey> keys;
  std::vector<std::uint32_t> trace;
};

World& TheWorld() {
  static World world;
  return world;
}

// Question: how many gets does a core do, alone and beside others? Budget: 1 us per get with two threads.
void BM_Get(benchmark::State& state) {
  World& world = TheWorld();
  std::size_t i = static_cast<std::size_t>(state.thread_index()) * 77'777;
  for (auto _ : state) {
    benchmark::DoNotOptimize(world.tier.Get(world.keys[world.trace[++i & (world.trace.size() - 1)]]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Get)->Threads(1)->Threads(2)->UseRealTime();

// Question: and when every miss is put, about one in four?
void BM_GetOrPut(benchmark::State& state) {
  World& world = TheWorld();
  std::size_t i = static_cast<std::size_t>(state.thread_index()) * 77'777;
  std::int64_t hits = 0;
  for (auto _ : state) hits += world.Ask(world.trace[++i & (world.trace.size() - 1)]) ? 1 : 0;
  state.SetItemsProcessed(state.iterations());
  state.counters["hit_ratio"] = benchmark::Counter(
      static_cast<double>(hits) / static_cast<double>(state.iterations()), benchmark::Counter::kAvgThreads);
}
BENCHMARK(BM_GetOrPut)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace mezzo::cache
