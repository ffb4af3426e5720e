#include "mezzo/observe/instruments.h"

namespace mezzo::observe {

std::uint64_t Counter::value() const {
  std::uint64_t sum = 0;
  shards_.ForEach([&sum](const Shard& shard) { sum += shard.count.load(std::memory_order_relaxed); });
  return sum;
}

double HistogramSnapshot::Quantile(double q, std::span<const double> bounds) const {
  if (count == 0 || bounds.empty()) return 0;
  const double rank = q * static_cast<double>(count);
  double below = 0;
  for (std::size_t i = 0; i < bounds.size() && i < buckets.size(); ++i) {
    const auto inside = static_cast<double>(buckets[i]);
    if (inside > 0 && below + inside >= rank) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (rank - below) / inside;
    }
    below += inside;
  }
  return bounds.back();
}

namespace internal {

template <typename Buckets>
void BucketCounts<Buckets>::ObserveTraced(std::uint64_t value, std::string_view trace_id, WallTime at) {
  Observe(value);
  Exemplar exemplar{
      .trace_id = std::string(trace_id), .value = static_cast<double>(value) / Buckets::kUnit, .at = at};
  const MutexLock lock(mu_);
  if (exemplars_ == nullptr) exemplars_ = std::make_unique<Exemplars>();
  (*exemplars_)[Buckets::Find(value)] = std::move(exemplar);
}

template <typename Buckets>
HistogramSnapshot BucketCounts<Buckets>::Snapshot() const {
  HistogramSnapshot snapshot;
  snapshot.buckets.resize(kCount);
  std::uint64_t sum = 0;
  shards_.ForEach([&](const Shard& shard) {
    sum += shard.sum.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < kCount; ++i) {
      snapshot.buckets[i] += shard.buckets[i].load(std::memory_order_relaxed);
    }
  });
  for (const std::uint64_t n : snapshot.buckets) snapshot.count += n;
  snapshot.sum = static_cast<double>(sum) / Buckets::kUnit;
  const MutexLock lock(mu_);
  if (exemplars_ != nullptr) snapshot.exemplars.assign(exemplars_->begin(), exemplars_->end());
  return snapshot;
}

template <typename Buckets>
std::span<const double> BucketCounts<Buckets>::Bounds() {
  static constexpr auto kInUnits = [] {
    std::array<double, Buckets::kBounds.size()> bounds{};
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      bounds[i] = static_cast<double>(Buckets::kBounds[i]) / Buckets::kUnit;
    }
    return bounds;
  }();
  return kInUnits;
}

template class BucketCounts<LatencyBuckets>;
template class BucketCounts<SizeBuckets>;

}  // namespace internal
}  // namespace mezzo::observe
