#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/cache/internal/duels.h"
#include "mezzo/cache/internal/reclaimer.h"
#include "mezzo/cache/internal/sketch.h"
#include "mezzo/cache/key.h"
#include "mezzo/cache/memory_tier.h"

namespace mezzo::cache::internal {

enum class Part : std::uint8_t { kWindow, kMain };

/// An entry. All but `next` and `reads` is immutable for readers, who hold a pin; the rest is the shard's.
struct Node {
  Node(std::uint64_t h, const CacheKey& k, MemoryTier::Item i, ByteCount c)
      : hash(h), key(k), item(std::move(i)), charge(c) {}

  std::atomic<Node*> next{nullptr};    // In the bucket's chain. Partner: the chain's other links.
  std::atomic<std::uint8_t> reads{0};  // Since the clock's hand came by, at most 3; an estimate.
  Part part = Part::kWindow;
  const std::uint64_t hash;
  const CacheKey key;
  const MemoryTier::Item item;
  const ByteCount charge;
  Node* newer = nullptr;  // In its part, or, once it was taken out, in the list of what is to be freed.
  Node* older = nullptr;
  std::uint64_t retired_at = 0;
};

/// Nodes from the newest to the oldest, with their bytes. Owns nothing.
struct NodeList {
  Node* newest = nullptr;
  Node* oldest = nullptr;
  ByteCount bytes = 0;
  std::size_t count = 0;

  void PushNewest(Node& node);
  void Remove(Node& node);
};

/// One shard of MemoryTier, with a budget of its own. `hash` is the key's, spread over all 64 bits.
class TierShard {
 public:
  TierShard(ByteCount budget, Reclaimer& reclaimer);
  ~TierShard();
  TierShard(const TierShard&) = delete;
  TierShard& operator=(const TierShard&) = delete;

  [[nodiscard]] std::optional<MemoryTier::Item> Get(std::uint64_t hash, const CacheKey& key, TimePoint now,
                                                    bool counts);
  bool Put(std::unique_ptr<Node> node, TimePoint now) EXCLUDES(mu_);
  /// Counts a value that is too large, and erases what it would have replaced.
  void Refuse(std::uint64_t hash, const CacheKey& key) EXCLUDES(mu_);
  /// `value` null: whatever it is.
  bool Erase(std::uint64_t hash, const CacheKey& key, const Cached* value) EXCLUDES(mu_);
  std::size_t EraseIf(const std::function<bool(const CacheKey&, const MemoryTier::Item&)>& doomed)
      EXCLUDES(mu_);
  void SetBudget(ByteCount budget) EXCLUDES(mu_);
  void AddTo(MemoryTier::Statistics& statistics) const EXCLUDES(mu_);

 private:
  /// Frees a chain of nodes (by `newer`) when it goes: declared before the lock, so after it is released.
  class Freed;

  [[nodiscard]] std::atomic<Node*>& Bucket(std::uint64_t hash) const {
    return buckets_[hash & (bucket_count_ - 1)];
  }
  [[nodiscard]] Node* Find(std::uint64_t hash, const CacheKey& key) const REQUIRES(mu_);
  void Link(Node& node) REQUIRES(mu_);
  /// Takes the node out of chain and part; it is freed when no reader can hold it.
  void Retire(Node& node) REQUIRES(mu_);
  void Collect(Freed& freed) REQUIRES(mu_);
  /// Makes parts fit their budgets, within a bounded number of steps. `newcomer` goes if that is not enough.
  /// Whether it is still there.
  bool Balance(Node& newcomer, TimePoint now) REQUIRES(mu_);
  /// Whether `candidate`, the window's oldest, is let into the main part.
  bool Admit(Node& candidate, TimePoint now, int& steps) REQUIRES(mu_);
  [[nodiscard]] Node* PickVictim(int& steps) REQUIRES(mu_);
  [[nodiscard]] NodeList& ListOf(const Node& node) REQUIRES(mu_) {
    return node.part == Part::kWindow ? window_ : main_;
  }
  [[nodiscard]] ByteCount bytes() const REQUIRES(mu_) { return window_.bytes + main_.bytes; }
  [[nodiscard]] ByteCount window_budget() const REQUIRES(mu_);
  void SetPeriod() REQUIRES(mu_);

  Reclaimer& reclaimer_;
  const std::size_t bucket_count_;
  const std::unique_ptr<std::atomic<Node*>[]> buckets_;  // Written under mu_, read under a pin.
  Sketch sketch_;
  Duels duels_;

  mutable Mutex mu_;
  ByteCount budget_ GUARDED_BY(mu_);
  NodeList window_ GUARDED_BY(mu_);
  NodeList main_ GUARDED_BY(mu_);
  NodeList retired_ GUARDED_BY(mu_);
  std::uint64_t puts_ GUARDED_BY(mu_) = 0;
  std::uint64_t refused_ GUARDED_BY(mu_) = 0;
  std::uint64_t rejected_ GUARDED_BY(mu_) = 0;
  std::uint64_t evicted_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::cache::internal
