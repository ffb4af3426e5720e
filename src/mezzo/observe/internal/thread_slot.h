#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace mezzo::observe::internal {

/// Slots below this number belong to one living thread at a time, so its counts need no read-modify-write.
inline constexpr std::uint32_t kExclusiveSlots = 8;
/// Further threads share the slots from kExclusiveSlots on, and pay for atomic additions.
inline constexpr std::uint32_t kSlots = 16;

/// The slot of this thread, or kSlots before its first use. Not for signal handlers.
extern constinit thread_local std::uint32_t thread_slot;

/// Gives this thread a slot until it exits. A slot given back and taken again orders the two owners' writes.
std::uint32_t ClaimThreadSlot();

inline std::uint32_t ThreadSlot() {
  const std::uint32_t slot = thread_slot;
  return slot < kSlots ? slot : ClaimThreadSlot();
}

/// Adds `n` from the owner of `slot`. Relaxed: the reader sums shards and needs no order between them.
inline void AddTo(std::atomic<std::uint64_t>& cell, std::uint64_t n, std::uint32_t slot) {
  if (slot < kExclusiveSlots) [[likely]] {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  } else {
    cell.fetch_add(n, std::memory_order_relaxed);
  }
}

/// One `Shard` for each thread slot that ever touched it, made on first touch. Shards live as long as this
/// object.
template <typename Shard>
class Sharded {
 public:
  Sharded() = default;
  Sharded(const Sharded&) = delete;
  Sharded& operator=(const Sharded&) = delete;
  ~Sharded() {
    for (auto& shard : shards_) std::unique_ptr<Shard>(shard.load(std::memory_order_acquire)).reset();
  }

  Shard& At(std::uint32_t slot) {
    Shard* shard = shards_[slot].load(std::memory_order_acquire);
    return shard != nullptr ? *shard : Make(slot);
  }

  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const auto& shard : shards_) {
      if (const Shard* s = shard.load(std::memory_order_acquire); s != nullptr) fn(*s);
    }
  }

 private:
  Shard& Make(std::uint32_t slot) {
    auto made = std::make_unique<Shard>();
    Shard* expected = nullptr;
    // Threads that share a slot may race here; the loser drops its shard.
    if (!shards_[slot].compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel))
      return *expected;
    return *made.release();
  }

  // Published with release by Make(), read with acquire by At() and ForEach().
  std::array<std::atomic<Shard*>, kSlots> shards_{};
};

}  // namespace mezzo::observe::internal
