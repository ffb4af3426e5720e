#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"
#include "mezzo/releases/latency_buckets.h"

namespace mezzo::releases::internal {

/// Where a high quantile of recent latencies lies, within an eighth: eight buckets for each doubling, halved
/// when there are many, so that what was long ago fades. Thread-safe; an Add() is one or two atomics.
class LatencySketch {
 public:
  void Add(Duration latency) {
    buckets_.at(Buckets::IndexOf(latency)).fetch_add(1, std::memory_order_relaxed);
    if (total_.fetch_add(1, std::memory_order_relaxed) + 1 >= kHalveAt) Halve();
  }
  /// An upper bound of the quantile `q`; nothing below `min_count` latencies is zero.
  [[nodiscard]] Duration Quantile(double q, std::uint32_t min_count) const {
    std::uint64_t total = 0;
    for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
    if (total < min_count || total == 0) return Duration::zero();
    const double wanted = q * static_cast<double>(total);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < Buckets::kCount; ++i) {
      below += buckets_.at(i).load(std::memory_order_relaxed);
      if (static_cast<double>(below) >= wanted)
        return Buckets::LowerEdge(std::min(i + 1, Buckets::kCount - 1));
    }
    return Buckets::LowerEdge(Buckets::kCount - 1);
  }

 private:
  /// An eighth: 1 KiB of counters for each route, and a quantile costs a walk over 226 of them. What a
  /// release is judged by (LatencyHistogram) is finer, and must not forget.
  using Buckets = LatencyBuckets</*sub_bits=*/3, /*first_octave=*/12, /*end_octave=*/40>;
  static constexpr std::uint32_t kHalveAt = 8192;

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
  std::array<std::atomic<std::uint32_t>, Buckets::kCount> buckets_{};
  std::atomic<std::uint32_t> total_{0};
};

}  // namespace mezzo::releases::internal
