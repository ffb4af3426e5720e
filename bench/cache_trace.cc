// Replays a trace against the memory tier and says how often it hits.
// Usage: mezzo_bench_cache --places N < numbers, one of a key in each line. Every entry costs the same.

#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <unordered_map>

#include <CLI/CLI.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/cache/memory_tier.h"

namespace {

using mezzo::ByteCount;
using mezzo::cache::CacheKey;
using mezzo::cache::KeyBuilder;
using mezzo::cache::MemoryTier;

constexpr ByteCount kEntry = 1024;

class Blob final : public mezzo::cache::Cached {
 public:
  explicit Blob(ByteCount size) : size_(size) {}
  [[nodiscard]] ByteCount bytes() const override { return size_; }

 private:
  const ByteCount size_;
};

int Replay(std::size_t places) {
  const mezzo::RealClock clock;
  MemoryTier tier({.max_bytes = places * kEntry, .max_entry_bytes = 4 * kEntry}, clock);
  std::unordered_map<std::int64_t, CacheKey> keys;
  std::int64_t number = 0;
  std::uint64_t asked = 0;
  std::uint64_t hits = 0;
  while (std::cin >> number) {
    auto it = keys.find(number);
    if (it == keys.end()) it = keys.emplace(number, KeyBuilder("trace").Integer(number).Finish()).first;
    const CacheKey& key = it->second;
    ++asked;
    if (tier.Get(key).has_value()) {
      ++hits;
    } else {
      const ByteCount size = kEntry - MemoryTier::kEntryOverhead - key.text().size();
      tier.Put(key, {.value = std::make_shared<Blob>(size)});
    }
  }
  std::printf("{\"asked\": %llu, \"hits\": %llu}\n", static_cast<unsigned long long>(asked),
              static_cast<unsigned long long>(hits));
  return asked == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_cache");
  std::size_t places = 1000;
  app.add_option("--places", places, "Entries that fit.")->check(CLI::Range(64, 10'000'000));
  CLI11_PARSE(app, argc, argv);
  return Replay(places);
}
