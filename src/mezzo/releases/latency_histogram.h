#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"
#include "mezzo/releases/latency_buckets.h"

namespace mezzo::releases {

/// Counts of latencies in buckets of which each is at most 1.6 % wide, from 8.2 µs to 137 s, one bucket below
/// and one above. Fixed size; not thread-safe.
class LatencyHistogram {
 public:
  using Buckets = LatencyBuckets</*sub_bits=*/6, /*first_octave=*/13, /*end_octave=*/37>;
  static constexpr std::size_t kBuckets = Buckets::kCount;

  static constexpr std::size_t IndexOf(Duration latency) { return Buckets::IndexOf(latency); }
  /// The least latency that falls into the bucket.
  static constexpr Duration LowerEdge(std::size_t bucket) { return Buckets::LowerEdge(bucket); }

  void Add(Duration latency, std::uint64_t count = 1) { counts_[IndexOf(latency)] += count; }

  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : counts_) sum += count;
    return sum;
  }
  /// How many were in `bucket` or a later one.
  [[nodiscard]] std::uint64_t From(std::size_t bucket) const {
    std::uint64_t sum = 0;
    for (std::size_t at = bucket; at < kBuckets; ++at) sum += counts_[at];
    return sum;
  }
  /// The bucket of the value that has at least `share` (0 to 1) of all at or below it; 0 of none.
  [[nodiscard]] std::size_t QuantileBucket(double share) const { return RankBucket(share * Total()); }
  /// The bucket of the `rank`-th smallest value, counted from 1; rounded up, at least the first.
  [[nodiscard]] std::size_t RankBucket(double rank) const {
    const double wanted = std::max(rank, 1.0);
    double seen = 0;
    std::size_t last = 0;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      if (counts_[bucket] == 0) continue;
      last = bucket;
      seen += static_cast<double>(counts_[bucket]);
      if (seen >= wanted) return bucket;
    }
    return last;
  }

  [[nodiscard]] std::uint64_t operator[](std::size_t bucket) const { return counts_[bucket]; }
  [[nodiscard]] std::uint64_t& operator[](std::size_t bucket) { return counts_[bucket]; }
  friend bool operator==(const LatencyHistogram&, const LatencyHistogram&) = default;

 private:
  [[nodiscard]] double Total() const { return static_cast<double>(total()); }

  std::array<std::uint64_t, kBuckets> counts_{};
};

}  // namespace mezzo::releases
