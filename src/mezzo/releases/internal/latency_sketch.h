#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::releases::internal {

/// Where a high quantile of recent latencies lies, within an eighth: eight buckets for each doubling, halved
/// when there are many, so that what was long ago fades. Thread-safe; an Add() is one or two atomics.
class LatencySketch {
 public:
  void Add(Duration latency) {
    buckets_.at(BucketOf(latency)).fetch_add(1, std::memory_order_relaxed);
    if (total_.fetch_add(1, std::memory_order_relaxed) + 1 >= kHalveAt) Halve();
  }
  /// An upper bound of the quantile `q`; nothing below `min_count` latencies is zero.
  [[nodiscard]] Duration Quantile(double q, std::uint32_t min_count) const {
    std::uint64_t total = 0;
    for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
    if (total < min_count || total == 0) return Duration::zero();
    const double wanted = q * static_cast<double>(total);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      below += buckets_.at(i).load(std::memory_order_relaxed);
      if (static_cast<double>(below) >= wanted) return UpperOf(i);
    }
    return UpperOf(kBuckets - 1);
  }

 private:
  static constexpr std::size_t kSteps = 8;
  static constexpr std::size_t kFirst = 12;  // 4 µs; all below are in the first bucket.
  static constexpr std::size_t kDoublings = 28;
  static constexpr std::size_t kBuckets = kSteps * kDoublings;
  static constexpr std::uint32_t kHalveAt = 8192;

  static std::size_t BucketOf(Duration latency) {
    const auto ns = static_cast<std::uint64_t>(latency.count() < 1 ? 1 : latency.count());
    const auto log = static_cast<std::size_t>(std::bit_width(ns) - 1);
    if (log < kFirst) return 0;
    if (log - kFirst >= kDoublings) return kBuckets - 1;
    const std::size_t step = (ns >> (log - 3)) & (kSteps - 1);
    return (log - kFirst) * kSteps + step;
  }
  static Duration UpperOf(std::size_t bucket) {
    const std::size_t log = kFirst + bucket / kSteps;
    return Duration(
        static_cast<std::int64_t>((std::uint64_t{1} << log) + ((bucket % kSteps + 1) << (log - 3))));
  }
  void Halve() {
    total_.store(0, std::memory_order_relaxed);
    std::uint32_t left = 0;
    for (auto& bucket : buckets_) {
      const std::uint32_t half = bucket.load(std::memory_order_relaxed) / 2;
      bucket.store(half, std::memory_order_relaxed);
      left += half;
    }
    total_.fetch_add(left, std::memory_order_relaxed);
  }

  // Counts that may lose one another's updates while they are halved: an estimate. No partners.
  std::array<std::atomic<std::uint32_t>, kBuckets> buckets_{};
  std::atomic<std::uint32_t> total_{0};
};

}  // namespace mezzo::releases::internal
