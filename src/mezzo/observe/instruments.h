#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/observe/internal/buckets.h"
#include "mezzo/observe/internal/thread_slot.h"

namespace mezzo::observe {

/// Counts up. Add() costs about two nanoseconds: each of the first threads writes a cache line of its own.
/// Thread-safe; value() sees every Add() that happened before it.
class Counter {
 public:
  void Add(std::uint64_t n = 1) {
    const std::uint32_t slot = internal::ThreadSlot();
    internal::AddTo(shards_.At(slot).count, n, slot);
  }
  [[nodiscard]] std::uint64_t value() const;

 private:
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> count{0};  // Relaxed: a sum of shards, no partner.
  };
  internal::Sharded<Shard> shards_;
};

/// A value that goes up and down. One atomic for all threads: Set() and Add() are for events, not for inner
/// loops. Thread-safe.
class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};  // Stands alone, no partner.
};

/// The newest observation of a bucket that came with a trace.
struct Exemplar {
  std::string trace_id;  ///< 32 hex digits.
  double value = 0;      ///< In base units.
  WallTime at;
};

/// What a histogram held at one moment. Counts of single buckets, not cumulative; the last is beyond every
/// bound.
struct HistogramSnapshot {
  std::vector<std::uint64_t> buckets;
  std::uint64_t count = 0;                         ///< Sum of `buckets`.
  double sum = 0;                                  ///< In base units (seconds for latencies).
  std::vector<std::optional<Exemplar>> exemplars;  ///< Empty, or one for each bucket.

  /// The value below which a share `q` (0 to 1) of the observations lies, interpolated within its bucket; 0
  /// when there are none, the highest bound when it lies beyond.
  [[nodiscard]] double Quantile(double q, std::span<const double> bounds) const;
};

namespace internal {

template <typename Buckets>
class BucketCounts {
 public:
  static constexpr std::size_t kCount = Buckets::kBounds.size() + 1;

  void Observe(std::uint64_t value) {
    const std::uint32_t slot = ThreadSlot();
    Shard& shard = shards_.At(slot);
    AddTo(shard.buckets[Buckets::Find(value)], 1, slot);
    AddTo(shard.sum, value, slot);
  }
  void ObserveTraced(std::uint64_t value, std::string_view trace_id, WallTime at) EXCLUDES(mu_);
  [[nodiscard]] HistogramSnapshot Snapshot() const EXCLUDES(mu_);
  /// Upper bounds in base units, without the last bucket's +Inf.
  [[nodiscard]] static std::span<const double> Bounds();

 private:
  using Exemplars = std::array<std::optional<Exemplar>, kCount>;
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> sum{0};  // Relaxed, like the buckets: sums of shards, no partner.
    std::array<std::atomic<std::uint64_t>, kCount> buckets{};
  };

  Sharded<Shard> shards_;
  mutable Mutex mu_;
  std::unique_ptr<Exemplars> exemplars_ GUARDED_BY(mu_);  // Only histograms that see traces pay for them.
};

extern template class BucketCounts<LatencyBuckets>;
extern template class BucketCounts<SizeBuckets>;

}  // namespace internal

/// Latencies in fixed buckets from 50 µs to 10 min. Thread-safe; Observe() costs about three nanoseconds.
class Histogram {
 public:
  /// A negative duration counts as zero.
  void Observe(Duration duration) { counts_.Observe(Clamp(duration)); }
  /// Also keeps the trace as its bucket's exemplar. Takes a lock: for sampled calls only.
  void ObserveTraced(Duration duration, std::string_view trace_id, WallTime at) {
    counts_.ObserveTraced(Clamp(duration), trace_id, at);
  }
  [[nodiscard]] HistogramSnapshot Snapshot() const { return counts_.Snapshot(); }
  [[nodiscard]] static std::span<const double> Bounds() { return decltype(counts_)::Bounds(); }

 private:
  static std::uint64_t Clamp(Duration d) { return d.count() > 0 ? static_cast<std::uint64_t>(d.count()) : 0; }
  internal::BucketCounts<internal::LatencyBuckets> counts_;
};

/// Sizes (rows, items) in buckets 1, 2, 4, … 1024. Thread-safe.
class SizeHistogram {
 public:
  void Observe(std::uint64_t size) { counts_.Observe(size); }
  [[nodiscard]] HistogramSnapshot Snapshot() const { return counts_.Snapshot(); }
  [[nodiscard]] static std::span<const double> Bounds() { return decltype(counts_)::Bounds(); }

 private:
  internal::BucketCounts<internal::SizeBuckets> counts_;
};

}  // namespace mezzo::observe
