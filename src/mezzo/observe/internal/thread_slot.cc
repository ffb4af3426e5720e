#include "mezzo/observe/internal/thread_slot.h"

#include <bit>

namespace mezzo::observe::internal {

constinit thread_local std::uint32_t thread_slot = kSlots;

namespace {

// Bit i is set while exclusive slot i is free. Taken with acquire, given back with release: the new owner
// continues from what the old one stored.
constinit std::atomic<std::uint32_t> free_slots{(1U << kExclusiveSlots) - 1};
// Spreads the other threads over the shared slots. No partner.
constinit std::atomic<std::uint32_t> next_shared{0};

std::uint32_t NextSharedSlot() {
  return kExclusiveSlots + next_shared.fetch_add(1, std::memory_order_relaxed) % (kSlots - kExclusiveSlots);
}

std::uint32_t TakeSlot() {
  std::uint32_t free = free_slots.load(std::memory_order_acquire);
  while (free != 0) {
    const auto slot = static_cast<std::uint32_t>(std::countr_zero(free));
    if (free_slots.compare_exchange_weak(free, free & ~(1U << slot), std::memory_order_acq_rel)) return slot;
  }
  return NextSharedSlot();
}

class SlotOwner {
 public:
  SlotOwner() { thread_slot = TakeSlot(); }
  SlotOwner(const SlotOwner&) = delete;
  SlotOwner& operator=(const SlotOwner&) = delete;
  ~SlotOwner() {
    const std::uint32_t slot = thread_slot;
    // Destructors of other thread locals may still count; they must not use a slot that is no longer ours.
    thread_slot = NextSharedSlot();
    if (slot < kExclusiveSlots) free_slots.fetch_or(1U << slot, std::memory_order_release);
  }
};

}  // namespace

std::uint32_t ClaimThreadSlot() {
  thread_local const SlotOwner owner;
  static_cast<void>(owner);
  return thread_slot;
}

}  // namespace mezzo::observe::internal
