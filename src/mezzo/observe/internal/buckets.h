#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace mezzo::observe::internal {

/// Upper bounds (inclusive) of the latency buckets, in nanoseconds: 50 µs to 10 min. One more bucket takes
/// the rest.
struct LatencyBuckets {
  static constexpr std::uint64_t kUs = 1'000;
  static constexpr std::uint64_t kMs = 1'000'000;
  static constexpr std::uint64_t kS = 1'000'000'000;
  static constexpr std::array<std::uint64_t, 28> kBounds = {
      50 * kUs,    100 * kUs, 200 * kUs, 350 * kUs, 600 * kUs, 1 * kMs,     2 * kMs,
      3'500 * kUs, 6 * kMs,   10 * kMs,  20 * kMs,  35 * kMs,  60 * kMs,    100 * kMs,
      200 * kMs,   350 * kMs, 600 * kMs, 1 * kS,    2 * kS,    3'500 * kMs, 6 * kS,
      10 * kS,     20 * kS,   35 * kS,   60 * kS,   120 * kS,  300 * kS,    600 * kS};
  static constexpr double kUnit = 1e9;  ///< Observations in one base unit (second).

  static constexpr std::size_t Find(std::uint64_t value);
};

/// 1, 2, 4, … 1024, and the rest.
struct SizeBuckets {
  static constexpr std::array<std::uint64_t, 11> kBounds = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
  static constexpr double kUnit = 1;

  static constexpr std::size_t Find(std::uint64_t value) {
    return value <= 1 ? 0 : std::min<std::size_t>(std::bit_width(value - 1), kBounds.size());
  }
};

/// For each bit width the first latency bucket that a value of that width can fall into.
constexpr std::array<std::uint8_t, 65> FirstLatencyBucketByWidth() {
  std::array<std::uint8_t, 65> first{};
  for (std::size_t width = 1; width <= 64; ++width) {
    const std::uint64_t smallest = std::uint64_t{1} << (width - 1);
    const auto& bounds = LatencyBuckets::kBounds;
    first[width] = static_cast<std::uint8_t>(std::ranges::lower_bound(bounds, smallest) - bounds.begin());
  }
  return first;
}
inline constexpr auto kFirstLatencyBucket = FirstLatencyBucketByWidth();

/// The bounds and enough sentinels for Find() to look two ahead.
constexpr auto PaddedLatencyBounds() {
  std::array<std::uint64_t, LatencyBuckets::kBounds.size() + 2> padded{};
  padded.fill(UINT64_MAX);
  std::ranges::copy(LatencyBuckets::kBounds, padded.begin());
  return padded;
}
inline constexpr auto kPaddedLatencyBounds = PaddedLatencyBounds();

// No octave holds three bounds, so two comparisons, without a branch, find the bucket.
constexpr std::size_t LatencyBuckets::Find(std::uint64_t value) {
  std::size_t i = kFirstLatencyBucket[static_cast<std::size_t>(std::bit_width(value))];
  i += static_cast<std::size_t>(value > kPaddedLatencyBounds[i]);
  i += static_cast<std::size_t>(value > kPaddedLatencyBounds[i]);
  return i;
}

}  // namespace mezzo::observe::internal
