#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/cache/cached.h"
#include "mezzo/cache/key.h"

namespace mezzo::cache {

namespace internal {
class Reclaimer;
class TierShard;
}  // namespace internal

/// Values of this process by key, within a budget of bytes.
///
/// Which to keep: a small window of newcomers in front of a main part; who leaves the window stays only if it
/// was asked for more often, by a sketch of recent requests, than the one it would push out (W-TinyLFU: G.
/// Einziger, R. Friedman, B. Manes, "TinyLFU", ACM ToS 2017). How such decisions turn out is watched, and
/// newcomers get a credit while those that were turned away come back sooner than what was kept. Both parts
/// are first in, first out, the main part with second chances for what was read (CLOCK), because that needs
/// no lock on a hit (as in S3-FIFO: J. Yang et al., SOSP'23). A flood of keys that are asked for once passes
/// through the window and leaves the rest alone.
///
/// Get takes no lock and never waits: chains of atomic pointers, and memory freed once no reader can hold it
/// (epochs, as SRCU does it). Put, Erase and EraseExactly lock one shard for a bounded number of steps,
/// whatever the tier holds. Values are freed outside the locks.
///
/// Thread-safe.
class MemoryTier {
 public:
  struct Options {
    ByteCount max_bytes = ByteCount{256} << 20;  ///< Of keys, values and their bookkeeping; at least 64 KiB.
    /// Larger entries (value and key) are not kept. At most an eighth of max_bytes: more is taken for that.
    ByteCount max_entry_bytes = ByteCount{4} << 20;
    std::size_t max_shards =
        16;                  ///< Fewer when they would be too small: for the largest entries, or below 1 MiB.
    std::uint64_t seed = 1;  ///< Of the hash that spreads keys.
  };
  /// What lies under a key.
  struct Item {
    CachedRef value;
    TimePoint expires = kNever;  ///< Not found from then on.
    std::uint64_t stamp = 0;     ///< The owner's, kept with the value: an epoch.
  };
  struct Statistics {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t puts = 0;      ///< That were kept, if only for a while.
    std::uint64_t refused = 0;   ///< Puts that were too large, or came faster than memory could be freed.
    std::uint64_t rejected = 0;  ///< Newcomers that were asked for less often than what they would push out.
    std::uint64_t evicted = 0;   ///< For newcomers.
    std::size_t entries = 0;
    ByteCount bytes = 0;
    ByteCount budget = 0;
    /// Taken out, but perhaps still being read; puts are refused beyond an eighth of the budget.
    ByteCount unfreed_bytes = 0;
  };

  /// What an entry costs beside its value and its key's text.
  static constexpr ByteCount kEntryOverhead = 256;

  /// `clock` must outlive the tier.
  MemoryTier(Options options, const Clock& clock);
  /// No call may be in progress.
  ~MemoryTier();
  MemoryTier(const MemoryTier&) = delete;
  MemoryTier& operator=(const MemoryTier&) = delete;

  /// Nothing when there is none, or when it has expired. Counts as a request for the key either way, unless
  /// `counts` is false.
  [[nodiscard]] std::optional<Item> Get(const CacheKey& key, bool counts = true);
  /// Keeps `item`, in place of what was there. False when it is too large, or has been rejected at once; what
  /// was there is gone then too.
  bool Put(const CacheKey& key, Item item);
  /// Whether there was one.
  bool Erase(const CacheKey& key);
  /// Erases only if `value` is what lies there.
  bool EraseExactly(const CacheKey& key, const Cached* value);
  /// Erases what `doomed` says; looks at every entry, so not on an I/O thread. `doomed` must not use the
  /// tier.
  std::size_t EraseIf(const std::function<bool(const CacheKey& key, const Item& item)>& doomed);
  void Clear();
  /// Evicts until the entries fit. Look-ups get slower when the budget grows far above Options::max_bytes.
  void SetBudget(ByteCount max_bytes);

  [[nodiscard]] Statistics statistics() const;
  /// The largest entry (value, key and overhead) that Put() takes.
  [[nodiscard]] ByteCount max_entry_bytes() const { return max_entry_bytes_; }

 private:
  [[nodiscard]] std::uint64_t HashOf(const CacheKey& key) const;
  [[nodiscard]] internal::TierShard& ShardOf(std::uint64_t hash) const;

  const Clock& clock_;
  const std::uint64_t seed_;
  ByteCount max_entry_bytes_ = 0;
  std::unique_ptr<internal::Reclaimer> reclaimer_;
  std::vector<std::unique_ptr<internal::TierShard>> shards_;
};

}  // namespace mezzo::cache
