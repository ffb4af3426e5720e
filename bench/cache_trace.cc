// Replays workloads against the memory tier and the policies that it is compared with; a line of JSON for
// each workload and size: requests, footprint (different keys), and the share of hits by policy. Usage:
// mezzo_bench_cache [--gentd26 FILE] [--seed N] [--only PART_OF_NAME] [--tier-only]

#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "cache_policies.h"
#include "cache_traces.h"
#include <CLI/CLI.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/cache/memory_tier.h"

namespace mezzo::bench {
namespace {

using cache::CacheKey;
using cache::KeyBuilder;
using cache::MemoryTier;

class Blob final : public cache::Cached {
 public:
  explicit Blob(ByteCount size) : size_(size) {}
  [[nodiscard]] ByteCount bytes() const override { return size_; }

 private:
  const ByteCount size_;
};

template <typename Policy>
double HitRatio(Policy policy, const std::vector<Key>& trace) {
  std::size_t hits = 0;
  for (const Key key : trace) hits += policy.Ask(key) ? 1 : 0;
  return static_cast<double>(hits) / static_cast<double>(trace.size());
}

/// Equal entries, as many as `places`, in the shards that a tier of their bytes has.
double TierHitRatio(std::size_t places, const std::vector<Key>& trace, std::uint64_t seed) {
  const RealClock clock;
  const ByteCount entry = std::max<ByteCount>(1024, (ByteCount{64} << 10) / places);
  MemoryTier tier({.max_bytes = places * entry, .max_entry_bytes = 4 * entry}, clock);
  std::unordered_map<Key, CacheKey> keys;
  std::size_t hits = 0;
  for (const Key number : trace) {
    auto it = keys.find(number);
    if (it == keys.end())
      it = keys.emplace(number,
                        KeyBuilder("trace").Integer(static_cast<std::int64_t>(seed)).Integer(number).Finish())
               .first;
    const CacheKey& key = it->second;
    if (tier.Get(key).has_value()) {
      ++hits;
    } else {
      tier.Put(key,
               {.value = std::make_shared<Blob>(entry - MemoryTier::kEntryOverhead - key.text().size())});
    }
  }
  return static_cast<double>(hits) / static_cast<double>(trace.size());
}

void Replay(const Workload& workload, std::uint64_t seed, bool tier_only) {
  const auto& [name, places, trace] = workload;
  const std::unordered_set<Key> footprint(trace.begin(), trace.end());
  std::printf(R"({"workload": "%s", "places": %zu, "requests": %zu, "footprint": %zu, "mezzo": %.6f)",
              name.c_str(), places, trace.size(), footprint.size(), TierHitRatio(places, trace, seed));
  if (!tier_only) {
    std::printf(R"(, "lru": %.6f, "s3fifo": %.6f, "wtinylfu": %.6f, "wtinylfu_libcachesim": %.6f)",
                HitRatio(Lru(places), trace), HitRatio(S3Fifo(places), trace),
                HitRatio(WTinyLfu(places, WTinyLfu::Logic::kPaper), trace),
                HitRatio(WTinyLfu(places, WTinyLfu::Logic::kLibCacheSim), trace));
  }
  std::printf("}\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace mezzo::bench

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_cache");
  std::string gentd26;
  std::string only;
  std::uint64_t seed = 0;
  bool tier_only = false;
  app.add_option("--gentd26", gentd26, "File with the checkpoint of each request, a number a line.")
      ->check(CLI::ExistingFile);
  app.add_option("--only", only, "Workloads with this in their names.");
  app.add_option("--seed", seed, "Of what is drawn, and of the keys' hashes; the policy was made with 0.");
  app.add_flag("--tier-only", tier_only, "Without the policies it is compared with.");
  CLI11_PARSE(app, argc, argv);
  for (const auto& workload : mezzo::bench::Workloads(gentd26, seed)) {
    if (workload.name.find(only) != std::string::npos) mezzo::bench::Replay(workload, seed, tier_only);
  }
  return 0;
}
