#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

namespace mezzo::cache::internal {

/// How often keys were asked for lately, roughly: a count-min sketch of 4-bit counters, the four of a key in
/// one line of memory, halved as time goes on (the TinyLFU paper's "reset", but a line at a time, so that no
/// call pays for all).
///
/// Any number of threads may record and estimate at once. Records that collide in time may be lost; that
/// makes a count low, never wrong by more.
class Sketch {
 public:
  /// For about `entries` keys.
  explicit Sketch(std::size_t entries)
      : lines_(std::bit_ceil(std::max<std::size_t>(entries / kKeysPerLine, 8))),
        words_(std::make_unique<std::atomic<std::uint64_t>[]>(lines_ * kWords)),
        halved_(std::make_unique<std::atomic<std::uint8_t>[]>(lines_)) {}

  void Record(std::uint64_t hash) {
    const std::uint64_t mixed = hash * kSpread;
    const std::size_t line = LineOf(mixed);
    if (const unsigned behind = TakeUp(line); behind > 0) Halve(line * kWords, behind);
    const Places places = PlacesOf(mixed, line);
    const std::uint64_t least = LeastOf(places);
    for (const Place& place : places) {
      if (least == kMost) break;
      std::atomic<std::uint64_t>& word = words_[place.word];
      const std::uint64_t value = word.load(std::memory_order_relaxed);
      if (((value >> place.shift) & kMost) == least) {
        word.store(value + (std::uint64_t{1} << place.shift), std::memory_order_relaxed);
      }
    }
    const std::uint64_t records = records_.load(std::memory_order_relaxed) + 1;
    records_.store(records, std::memory_order_relaxed);
    const std::uint64_t since = halved_at_.load(std::memory_order_relaxed);
    if (records - since < period_.load(std::memory_order_relaxed)) return;
    halved_at_.store(records, std::memory_order_relaxed);
    halvings_.fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint32_t Estimate(std::uint64_t hash) const {
    const std::uint64_t mixed = hash * kSpread;
    const std::size_t line = LineOf(mixed);
    const auto behind = static_cast<std::uint8_t>(halvings_.load(std::memory_order_relaxed) -
                                                  halved_[line].load(std::memory_order_relaxed));
    return static_cast<std::uint32_t>(LeastOf(PlacesOf(mixed, line)) >> std::min<unsigned>(behind, 4));
  }

  /// How many there were: a clock for what is measured in requests.
  [[nodiscard]] std::uint64_t records() const { return records_.load(std::memory_order_relaxed); }

  /// Counters are halved once in `records` records.
  void SetPeriod(std::uint64_t records) { period_.store(records, std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kWords = 8;  // Of a line: 64 bytes, 128 counters.
  static constexpr std::size_t kKeysPerLine = 2;
  static constexpr std::uint64_t kMost = 15;
  static constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15ULL;

  struct Place {
    std::size_t word;
    unsigned shift;
  };
  using Places = std::array<Place, 4>;

  [[nodiscard]] std::size_t LineOf(std::uint64_t mixed) const { return mixed >> 32 & (lines_ - 1); }
  [[nodiscard]] static Places PlacesOf(std::uint64_t mixed, std::size_t line) {
    Places places;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::uint64_t bits = mixed >> (i * 5);  // Five bits each of the low twenty.
      places[i] = {.word = line * kWords + i * 2 + (bits & 1),
                   .shift = static_cast<unsigned>(bits >> 1 & 15) * 4};
    }
    return places;
  }

  [[nodiscard]] std::uint64_t LeastOf(const Places& places) const {
    std::uint64_t least = kMost;
    for (const Place& place : places) {
      least = std::min(least, (words_[place.word].load(std::memory_order_relaxed) >> place.shift) & kMost);
    }
    return least;
  }

  /// How many halvings the line lacks; this caller has to do them.
  [[nodiscard]] unsigned TakeUp(std::size_t line) {
    const std::uint8_t now = halvings_.load(std::memory_order_relaxed);
    std::uint8_t then = halved_[line].load(std::memory_order_relaxed);
    if (now == then || !halved_[line].compare_exchange_strong(then, now, std::memory_order_relaxed)) return 0;
    return std::min<unsigned>(static_cast<std::uint8_t>(now - then), 4);
  }
  void Halve(std::size_t begin, unsigned times) {
    const std::uint64_t mask = (kMost >> times) * 0x1111111111111111ULL;
    for (std::size_t i = begin; i < begin + kWords; ++i) {
      words_[i].store(words_[i].load(std::memory_order_relaxed) >> times & mask, std::memory_order_relaxed);
    }
  }

  const std::size_t lines_;
  // None of these has a partner: all are estimates.
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
  std::unique_ptr<std::atomic<std::uint8_t>[]> halved_;  // Of each line: the halvings it has had, modulo 256.
  std::atomic<std::uint8_t> halvings_{0};
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> halved_at_{0};
  std::atomic<std::uint64_t> period_{1024};
};

}  // namespace mezzo::cache::internal
