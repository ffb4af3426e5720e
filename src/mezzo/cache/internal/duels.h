#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

namespace mezzo::cache::internal {

/// Learns how far admission by frequency can be trusted, by watching how its decisions turn out.
///
/// Whenever the sketch does not prefer a newcomer to the main part's victim, which was not read for a round,
/// the two duel: which of them is asked for first, before about as many requests as there are entries have
/// passed? While popularity is steady the victim wins more often. Newcomers win when what is popular has
/// changed, or when recency says more than frequency; each win adds to credit(), which newcomers are given in
/// comparisons, the more the more of them come in a row, and each win of a victim takes from it. What comes
/// round in loops longer than the cache is late for its duels, so it wins no credit, rightly: it would not
/// have stayed in an LRU cache either.
///
/// Any number of threads may call Asked(); Begin() is for one at a time. All is an estimate: duels that
/// collide are lost.
class Duels {
 public:
  /// Of newcomers, in requests of the sketch's; more than it can count, so that every newcomer wins.
  static constexpr std::uint32_t kMostCredit = 16;

  /// For about `entries` keys.
  explicit Duels(std::size_t entries)
      : mask_(std::bit_ceil(std::clamp<std::size_t>(entries / 4, 64, 4096)) - 1),
        time_unit_(static_cast<int>(std::bit_width(entries / 1024))),
        win_(mask_ < kFewSlots ? 2 * kWin : kWin),
        slots_(std::make_unique<std::atomic<std::uint64_t>[]>(mask_ + 1)) {}

  /// Somebody asked for the key. `time`: of the same clock as Begin()'s.
  void Asked(std::uint64_t hash, std::uint64_t time) {
    std::atomic<std::uint64_t>& slot = SlotOf(hash);
    std::uint64_t word = slot.load(std::memory_order_relaxed);
    if (word >> kTagShift != TagOf(hash)) return;
    if (!slot.compare_exchange_strong(word, 0, std::memory_order_relaxed)) return;
    slots_[word & mask_].store(0, std::memory_order_relaxed);
    if (IsOver(word, time)) return;
    const std::int32_t wins =
        (word & kNewcomer) != 0 ? std::min(wins_.load(std::memory_order_relaxed) + 1, kMostWins) : 0;
    wins_.store(wins, std::memory_order_relaxed);
    Change(wins > 0 ? wins * win_ : -kLoss);
  }

  /// The sketch prefers the second. The duel ends without a winner when `limit` has passed from `time` on.
  void Begin(std::uint64_t newcomer, std::uint64_t victim, std::uint64_t time, std::uint64_t limit) {
    limit_.store(limit >> time_unit_, std::memory_order_relaxed);
    if (IndexOf(newcomer) == IndexOf(victim)) return;
    for (const std::uint64_t hash : {newcomer, victim}) {
      const std::uint64_t word = SlotOf(hash).load(std::memory_order_relaxed);
      if (word != 0 && !IsOver(word, time)) return;
    }
    Drop(SlotOf(newcomer));
    Drop(SlotOf(victim));
    const std::uint64_t since = (time >> time_unit_ & kTimes) << kTimeShift;
    SlotOf(newcomer).store(TagOf(newcomer) << kTagShift | since | kNewcomer | IndexOf(victim),
                           std::memory_order_relaxed);
    SlotOf(victim).store(TagOf(victim) << kTagShift | since | IndexOf(newcomer), std::memory_order_relaxed);
  }

  /// What newcomers are given.
  [[nodiscard]] std::uint32_t credit() const {
    return static_cast<std::uint32_t>(credit_.load(std::memory_order_relaxed)) / kUnit;
  }

 private:
  // A slot: 32 bits of the key's hash, 16 of time, one of the role, and 15 for the other one's slot. Zero:
  // free.
  static constexpr int kTagShift = 32;
  static constexpr int kTimeShift = 16;
  static constexpr std::uint64_t kTimes = 0xFFFF;
  static constexpr std::uint64_t kNewcomer = std::uint64_t{1} << 15;

  static constexpr std::int32_t kUnit = 64;
  static constexpr std::int32_t kMost = kUnit * kMostCredit;
  static constexpr std::int32_t kWin = 8;       // For the first win in a row, twice that for the second, ...
  static constexpr std::int32_t kMostWins = 8;  // ... up to this.
  static constexpr std::int32_t kLoss = 32;
  static constexpr std::int32_t kDraw = 2;
  static constexpr std::size_t kFewSlots = 128;  // So many or fewer see few duels: their wins count twice.

  [[nodiscard]] static std::uint64_t TagOf(std::uint64_t hash) { return hash >> 32; }
  [[nodiscard]] std::size_t IndexOf(std::uint64_t hash) const { return hash & mask_; }
  [[nodiscard]] std::atomic<std::uint64_t>& SlotOf(std::uint64_t hash) { return slots_[IndexOf(hash)]; }
  [[nodiscard]] bool IsOver(std::uint64_t word, std::uint64_t time) const {
    return (((time >> time_unit_) - (word >> kTimeShift)) & kTimes) > limit_.load(std::memory_order_relaxed);
  }
  void Change(std::int32_t by) {
    const std::int32_t before = credit_.load(std::memory_order_relaxed);
    const std::int32_t after = std::clamp(before + by, 0, kMost);
    if (after != before) credit_.store(after, std::memory_order_relaxed);
  }
  /// Ends a duel without a winner.
  void Drop(std::atomic<std::uint64_t>& slot) {
    const std::uint64_t word = slot.exchange(0, std::memory_order_relaxed);
    if (word == 0) return;
    slots_[word & mask_].store(0, std::memory_order_relaxed);
    Change(-kDraw);
  }

  const std::size_t mask_;
  const int time_unit_;  // A power of two.
  const std::int32_t win_;
  // None of these has a partner: all are estimates.
  std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;
  std::atomic<std::int32_t> credit_{0};
  std::atomic<std::int32_t> wins_{0};    // Of newcomers, in a row.
  std::atomic<std::uint64_t> limit_{0};  // In units.
};

}  // namespace mezzo::cache::internal
