#include "mezzo/cache/memory_tier.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "mezzo/cache/internal/reclaimer.h"
#include "mezzo/cache/internal/tier_shard.h"

namespace mezzo::cache {
namespace {

/// Smaller shards lose more hits to their unevenness than they save waits.
constexpr ByteCount kLeastShard = ByteCount{1} << 20;
constexpr ByteCount kLeastBudget = ByteCount{64} << 10;

/// MurmurHash3's finaliser (A. Appleby, public domain).
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDULL;
  x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53ULL;
  return x ^ (x >> 33);
}

}  // namespace

MemoryTier::MemoryTier(Options options, const Clock& clock)
    : clock_(clock), seed_(Mix(options.seed)), reclaimer_(std::make_unique<internal::Reclaimer>()) {
  const ByteCount budget = std::max(options.max_bytes, kLeastBudget);
  max_entry_bytes_ = std::clamp<ByteCount>(options.max_entry_bytes, kEntryOverhead, budget / 8);
  // A shard holds several of the largest entries, so that one of them does not empty it.
  const ByteCount fitting = std::max<ByteCount>(budget / (4 * max_entry_bytes_), 1);
  const ByteCount wanted =
      std::clamp<ByteCount>(std::min<ByteCount>(options.max_shards, budget / kLeastShard), 1, 1024);
  const auto count = std::bit_floor(static_cast<std::size_t>(std::min(fitting, wanted)));
  for (std::size_t i = 0; i < count; ++i) {
    shards_.push_back(std::make_unique<internal::TierShard>(budget / count, *reclaimer_));
  }
}

MemoryTier::~MemoryTier() = default;

std::optional<MemoryTier::Item> MemoryTier::Get(const CacheKey& key, bool counts) {
  const std::uint64_t hash = HashOf(key);
  return ShardOf(hash).Get(hash, key, clock_.Now(), counts);
}

bool MemoryTier::Put(const CacheKey& key, Item item) {
  const std::uint64_t hash = HashOf(key);
  internal::TierShard& shard = ShardOf(hash);
  const ByteCount charge = item.value->bytes() + key.text().size() + kEntryOverhead;
  if (charge > max_entry_bytes_) {
    shard.Refuse(hash, key);
    item.value->TakenOut();
    return false;
  }
  return shard.Put(std::make_unique<internal::Node>(hash, key, std::move(item), charge), clock_.Now());
}

bool MemoryTier::Erase(const CacheKey& key) {
  const std::uint64_t hash = HashOf(key);
  return ShardOf(hash).Erase(hash, key, nullptr);
}

bool MemoryTier::EraseExactly(const CacheKey& key, const Cached* value) {
  const std::uint64_t hash = HashOf(key);
  return ShardOf(hash).Erase(hash, key, value);
}

std::size_t MemoryTier::EraseIf(const std::function<bool(const CacheKey&, const Item&)>& doomed) {
  std::size_t erased = 0;
  for (const auto& shard : shards_) erased += shard->EraseIf(doomed);
  return erased;
}

void MemoryTier::Clear() {
  EraseIf([](const CacheKey&, const Item&) { return true; });
}

void MemoryTier::SetBudget(ByteCount max_bytes) {
  const ByteCount budget = std::max(max_bytes, kLeastBudget) / shards_.size();
  for (const auto& shard : shards_) shard->SetBudget(budget);
}

MemoryTier::Statistics MemoryTier::statistics() const {
  Statistics statistics;
  reclaimer_->ForEachStripe([&](const internal::Reclaimer::Stripe& stripe) {
    statistics.hits += stripe.hits.load(std::memory_order_relaxed);
    statistics.misses += stripe.misses.load(std::memory_order_relaxed);
  });
  for (const auto& shard : shards_) shard->AddTo(statistics);
  return statistics;
}

std::uint64_t MemoryTier::HashOf(const CacheKey& key) const { return Mix(key.fingerprint()[0] ^ seed_); }

internal::TierShard& MemoryTier::ShardOf(std::uint64_t hash) const {
  return *shards_[(hash >> 48) & (shards_.size() - 1)];
}

}  // namespace mezzo::cache
