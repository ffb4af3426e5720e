#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/sched/batch_sizer.h"

namespace mezzo::sched {

/// Predicts the run time of a batch as a + b·rows, a ≥ 0, b ≥ 0: recursive least squares with exponential
/// forgetting, kept as weighted sums (the information form), robust by clipping residuals as Huber's
/// estimator does.
///
/// While every batch had the same size the slope cannot be known. It is then taken from `marginal`: what a
/// further row costs over what one costs alone. At its default, 1, rows cost in proportion (a = 0), which
/// overestimates bigger batches and so errs on the safe side. The high quantile is that of real/predicted
/// over the last runs, so one hang cannot move it far. When runs are much faster than predicted several times
/// in a row, the past is nearly forgotten: whatever slowed the host has gone. Not thread-safe.
class LatencyFit {
 public:
  /// `solo` is the run time of one row assumed until the first measurement; `marginal` is in [0, 1].
  explicit LatencyFit(Duration solo, double marginal = 1);

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
  /// The most rows that a batch should have: beyond, rows only get dearer or later.
  [[nodiscard]] std::uint32_t BestRows(std::uint32_t max_rows) const { return sizer_.Limit(max_rows); }
  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  [[nodiscard]] double high_ratio() const { return high_ratio_; }

 private:
  static constexpr std::size_t kRatios = 48;

  void Solve();
  void NoteRatio(double ratio);
  void ForgetSlowness();

  double marginal_;
  double base_;   // ns
  double slope_;  // ns per row
  double high_ratio_;
  double deviation_;  // Mean absolute residual, ns.
  double weight_ = 0, sum_n_ = 0, sum_nn_ = 0, sum_y_ = 0, sum_ny_ = 0;
  std::uint64_t samples_ = 0;
  std::array<float, kRatios> ratios_{};  // Real/predicted of the last runs, a ring.
  std::uint32_t ratio_count_ = 0;        // Ever; at most kRatios are kept.
  std::uint32_t fast_in_row_ = 0;
  BatchSizer sizer_;
};

/// The fits of one model: one per batch key (the least recently measured is forgotten beyond `max_keys`), and
/// one over all keys that stands in for a key never measured. Not thread-safe.
class LatencyModel {
 public:
  static constexpr std::size_t kMaxKeys = 32;

  explicit LatencyModel(Duration solo, double marginal = 1, std::size_t max_keys = kMaxKeys);

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
  const LatencyFit prior_;
  const std::size_t max_keys_;
  LatencyFit overall_;
  double row_cost_;
  std::uint64_t clock_ = 0;
  std::vector<Entry> entries_;
  mutable std::size_t last_ = 0;
};

}  // namespace mezzo::sched
