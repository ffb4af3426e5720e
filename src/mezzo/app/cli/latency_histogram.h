#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mezzo/base/clock.h"

namespace mezzo::app::cli {

/// Counts durations in log-linear buckets: exact below 256 ns, then 128 buckets for each doubling, so a
/// reported quantile is within 0.4 % of a recorded value. Durations beyond about 36 minutes share the last
/// bucket; the maximum is exact. About 35 KiB. Not thread-safe.
class LatencyHistogram {
 public:
  struct Bucket {
    Duration lower{};  ///< Inclusive.
    Duration upper{};  ///< Exclusive.
    std::uint64_t count = 0;
  };

  LatencyHistogram();

  /// Negative durations count as zero.
  void Record(Duration value, std::uint64_t count = 1);
  void Add(const LatencyHistogram& other);
  /// What was recorded since `earlier`, a copy of this histogram's past. Minimum and maximum become bucket
  /// edges.
  [[nodiscard]] LatencyHistogram Since(const LatencyHistogram& earlier) const;

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration min() const { return count_ == 0 ? Duration::zero() : min_; }
  [[nodiscard]] Duration max() const { return max_; }
  [[nodiscard]] Duration Mean() const;
  /// The value that a share `q` (0 to 1) of the recorded ones does not exceed; zero when nothing was
  /// recorded.
  [[nodiscard]] Duration Quantile(double q) const;
  /// The buckets that hold something, ascending.
  [[nodiscard]] std::vector<Bucket> NonEmpty() const;

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  double sum_ns_ = 0;
  Duration min_ = Duration::max();
  Duration max_{};
};

}  // namespace mezzo::app::cli
