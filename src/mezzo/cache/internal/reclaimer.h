#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace mezzo::cache::internal {

/// Says when memory that was taken out of a shared structure can't be read any more (epochs, with counted
/// readers as in Linux's SRCU, so that threads need not register).
///
/// A reader pins while it follows pointers. A writer unlinks a node with a sequentially consistent store,
/// then asks for epoch(): the node may be freed once epoch() is at least two above that. Pointers that
/// readers follow are loaded sequentially consistently too. The epoch moves on when nobody has pinned the one
/// before it, so pinned readers are in the current epoch or the one before, and none of them can hold what
/// was unlinked two epochs ago.
///
/// Thread-safe. Pins are short and never block.
class Reclaimer {
 public:
  /// A line of memory that few threads share.
  struct alignas(64) Stripe {
    std::array<std::atomic<std::uint64_t>, 2> readers{};  // By the epoch's parity. Partner: epoch_.
    std::atomic<std::uint64_t> hits{0};                   // Counts; no partner.
    std::atomic<std::uint64_t> misses{0};                 // Counts; no partner.
  };

  class Pin {
   public:
    explicit Pin(Reclaimer& reclaimer) : Pin(reclaimer, reclaimer.MyStripe()) {}
    Pin(Reclaimer& reclaimer, Stripe& stripe) {
      while (true) {
        const std::uint64_t epoch = reclaimer.epoch_.load(std::memory_order_seq_cst);
        readers_ = &stripe.readers[epoch & 1];
        readers_->fetch_add(1, std::memory_order_seq_cst);
        if (reclaimer.epoch_.load(std::memory_order_seq_cst) == epoch) return;
        readers_->fetch_sub(1, std::memory_order_seq_cst);
      }
    }
    ~Pin() { readers_->fetch_sub(1, std::memory_order_seq_cst); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    std::atomic<std::uint64_t>* readers_ = nullptr;
  };

  [[nodiscard]] std::uint64_t epoch() const { return epoch_.load(std::memory_order_seq_cst); }
  /// Moves to the next epoch unless readers of the one before are still there.
  void TryAdvance() {
    std::uint64_t epoch = epoch_.load(std::memory_order_seq_cst);
    for (const Stripe& stripe : stripes_) {
      if (stripe.readers[(epoch + 1) & 1].load(std::memory_order_seq_cst) != 0) return;
    }
    epoch_.compare_exchange_strong(epoch, epoch + 1, std::memory_order_seq_cst);
  }

  Stripe& MyStripe() {
    static std::atomic<std::uint32_t> threads{0};  // Numbers the threads; no partner.
    thread_local const std::uint32_t mine = threads.fetch_add(1, std::memory_order_relaxed);
    return stripes_[mine % kStripes];
  }
  template <typename Visit>
  void ForEachStripe(Visit visit) const {
    for (const Stripe& stripe : stripes_) visit(stripe);
  }

 private:
  static constexpr std::size_t kStripes = 32;

  std::atomic<std::uint64_t> epoch_{2};  // Partner: readers of every stripe.
  std::array<Stripe, kStripes> stripes_{};
};

}  // namespace mezzo::cache::internal
