#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mezzo/base/clock.h"

namespace mezzo::sched {

/// Predicts the run time of a batch as a + b·rows, a ≥ 0, b ≥ 0: recursive least squares with exponential
/// forgetting, kept as weighted sums (the information form), robust by clipping residuals as Huber's
/// estimator does.
///
/// While every batch had the same size the slope cannot be known; it is then taken as proportional (a = 0),
/// which overestimates bigger batches and so errs on the safe side. A high quantile of real/predicted is
/// tracked by multiplicative stochastic approximation, so one hang cannot move it far. Not thread-safe.
class LatencyFit {
 public:
  /// `solo` is the run time of one row assumed until the first measurement.
  explicit LatencyFit(Duration solo);

  void Learn(std::uint32_t rows, Duration measured);
  /// Expected run time of `rows` rows.
  [[nodiscard]] Duration Expected(std::uint32_t rows) const {
    return Duration(static_cast<std::int64_t>(base_ + slope_ * rows));
  }
  /// The run time that about 95 of 100 runs of `rows` rows stay below.
  [[nodiscard]] Duration High(std::uint32_t rows) const {
    return Duration(static_cast<std::int64_t>((base_ + slope_ * rows) * high_ratio_));
  }
  /// The most rows whose High() stays within `budget`; 0 when not even one does.
  [[nodiscard]] std::uint32_t RowsWithin(Duration budget, std::uint32_t limit) const;
  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  [[nodiscard]] double high_ratio() const { return high_ratio_; }

 private:
  void Solve();

  double base_;   // ns
  double slope_;  // ns per row
  double high_ratio_;
  double deviation_;  // Mean absolute residual, ns.
  double weight_ = 0, sum_n_ = 0, sum_nn_ = 0, sum_y_ = 0, sum_ny_ = 0;
  std::uint64_t samples_ = 0;
};

/// The fits of one model: one per batch key (the least recently measured is forgotten beyond `max_keys`), and
/// one over all keys that stands in for a key never measured. Not thread-safe.
class LatencyModel {
 public:
  static constexpr std::size_t kMaxKeys = 32;

  explicit LatencyModel(Duration solo, std::size_t max_keys = kMaxKeys);

  void Learn(std::uint64_t key, std::uint32_t rows, Duration measured);
  /// Valid until the next Learn().
  [[nodiscard]] const LatencyFit& For(std::uint64_t key) const;
  [[nodiscard]] const LatencyFit& overall() const { return overall_; }
  /// Device time per row as batches really came out: what a queued row will cost.
  [[nodiscard]] Duration amortised_row() const { return Duration(static_cast<std::int64_t>(row_cost_)); }
  [[nodiscard]] std::size_t keys() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint64_t key;
    std::uint64_t used;
    LatencyFit fit;
  };
  const Duration prior_;
  const std::size_t max_keys_;
  LatencyFit overall_;
  double row_cost_;
  std::uint64_t clock_ = 0;
  std::vector<Entry> entries_;
  mutable std::size_t last_ = 0;
};

}  // namespace mezzo::sched
