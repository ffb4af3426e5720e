#include "mezzo/app/cli/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace mezzo::app::cli {
namespace {

constexpr unsigned kSubBits = 7;  // 128 buckets for each doubling.
constexpr std::uint64_t kSubBuckets = std::uint64_t{1} << kSubBits;
constexpr unsigned kMaxBits = 41;  // 2^41 ns is 36 minutes.
constexpr std::uint64_t kLargest = (std::uint64_t{1} << kMaxBits) - 1;
constexpr std::size_t kBuckets = (kMaxBits - kSubBits) * kSubBuckets + kSubBuckets;

/// Values below 2 * kSubBuckets have buckets of their own; above, the first kSubBits + 1 bits choose the
/// bucket.
std::size_t IndexOf(std::uint64_t value) {
  const unsigned width = static_cast<unsigned>(std::bit_width(value));
  if (width <= kSubBits + 1) return value;
  const unsigned shift = width - (kSubBits + 1);
  return shift * kSubBuckets + (value >> shift);
}

std::uint64_t LowerOf(std::size_t index) {
  if (index < 2 * kSubBuckets) return index;
  const std::size_t shift = index / kSubBuckets - 1;
  return (index - shift * kSubBuckets) << shift;
}

Duration MiddleOf(std::size_t index) {
  const std::uint64_t lower = LowerOf(index);
  return Duration(static_cast<std::int64_t>(lower + (LowerOf(index + 1) - lower) / 2));
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(kBuckets) {}

void LatencyHistogram::Record(Duration value, std::uint64_t count) {
  if (count == 0) return;
  value = std::max(value, Duration::zero());
  buckets_[IndexOf(std::min(static_cast<std::uint64_t>(value.count()), kLargest))] += count;
  count_ += count;
  sum_ns_ += static_cast<double>(value.count()) * static_cast<double>(count);
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
}

void LatencyHistogram::Add(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
}

LatencyHistogram LatencyHistogram::Since(const LatencyHistogram& earlier) const {
  LatencyHistogram since;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const std::uint64_t count = buckets_[i] - std::min(buckets_[i], earlier.buckets_[i]);
    if (count > 0) since.Record(MiddleOf(i), count);
  }
  return since;
}

Duration LatencyHistogram::Mean() const {
  return count_ == 0 ? Duration::zero() : Duration(std::llround(sum_ns_ / static_cast<double>(count_)));
}

Duration LatencyHistogram::Quantile(double q) const {
  if (count_ == 0) return Duration::zero();
  const double exact = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
  const auto rank = std::clamp(static_cast<std::uint64_t>(exact), std::uint64_t{1}, count_);
  if (rank == count_) return max_;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::clamp(MiddleOf(i), min_, max_);
  }
  return max_;
}

std::vector<LatencyHistogram::Bucket> LatencyHistogram::NonEmpty() const {
  std::vector<Bucket> found;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (buckets_[i] == 0) continue;
    const Duration lower(static_cast<std::int64_t>(LowerOf(i)));
    const Duration upper(static_cast<std::int64_t>(LowerOf(i + 1)));
    found.push_back({.lower = lower, .upper = upper, .count = buckets_[i]});
  }
  return found;
}

}  // namespace mezzo::app::cli
