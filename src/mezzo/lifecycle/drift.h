#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::lifecycle {

/// How values are distributed over fixed bins, which are the quantiles of a reference window. Two histograms
/// of equal edges can be added: over time, over threads and over hosts. A value type.
class DriftHistogram {
 public:
  static constexpr std::size_t kMaxBins = 64;

  DriftHistogram() = default;
  /// `edges` ascend strictly: bin i holds edges[i-1] < value ≤ edges[i]; the first and the last are open.
  /// Fails with kInvalidArgument "drift_edges": too many, not finite, or not ascending.
  static Result<DriftHistogram> Make(std::vector<double> edges);
  /// Edges at the quantiles of `reference` (at most `bins` bins; equal quantiles are one edge), filled with
  /// it. Not finite values are left out. Fails with kInvalidArgument "drift_edges" when nothing is left, or
  /// for less than two bins.
  static Result<DriftHistogram> FromReference(std::span<const double> reference, std::size_t bins);

  /// The same with two more edges, so that what lies beyond everything in the reference is seen: bins below
  /// its least and above its greatest value, which hold nothing of it.
  static Result<DriftHistogram> WithTails(std::span<const double> reference, std::size_t bins);
  /// What edges(), counts() and odd() were. Fails with kInvalidArgument "drift_edges", also when there are
  /// not as many counts as bins.
  static Result<DriftHistogram> Restore(std::vector<double> edges, std::vector<std::uint64_t> counts,
                                        std::uint64_t odd);

  /// A value that is not finite is counted by odd() alone.
  void Add(double value);
  /// Fails with kInvalidArgument "drift_edges" when the edges are others; nothing is added then.
  Result<void> Merge(const DriftHistogram& other);
  /// The same edges with nothing in them.
  [[nodiscard]] DriftHistogram Empty() const;

  [[nodiscard]] const std::vector<double>& edges() const { return edges_; }
  [[nodiscard]] const std::vector<std::uint64_t>& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] std::uint64_t odd() const { return odd_; }  ///< NaN and infinite ones.

  friend bool operator==(const DriftHistogram&, const DriftHistogram&) = default;

 private:
  std::vector<double> edges_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  std::uint64_t odd_ = 0;
};

/// Population stability index: Σ (p − q)·ln(p/q) over bins, with half a value added to every bin of both, so
/// that empty ones count without being infinite. Below 0.1 little has changed, above 0.25 much (the customary
/// words, not a test). Fails with kInvalidArgument "drift_edges" for other edges, kFailedPrecondition
/// "drift_empty" when one has nothing.
Result<double> PopulationStability(const DriftHistogram& reference, const DriftHistogram& now);

struct KolmogorovSmirnov {
  double statistic = 0;  ///< The largest distance of the two distribution functions.
  double p_value = 1;    ///< Asymptotic, two-sided.
};

/// The two-sample test, exact in its statistic. Sorts copies. Values that are not finite are left out. Fails
/// with kFailedPrecondition "drift_empty" when one has nothing.
Result<KolmogorovSmirnov> CompareSamples(std::span<const double> a, std::span<const double> b);
/// The same of histograms: the statistic is a lower bound of the exact one, for it looks at edges only.
Result<KolmogorovSmirnov> CompareHistograms(const DriftHistogram& a, const DriftHistogram& b);

/// The survival function of Kolmogorov's distribution: the p-value of √(nm/(n+m))·D. Of x in [0, ∞).
double KolmogorovSurvival(double x);

/// At most `most` values of a tensor, evenly apart, the first of them at `offset` of the distance: numbers as
/// they are, truth values as 0 and 1, of texts their lengths in bytes (those of the first `most`, as they lie
/// one behind the other). Bounded work, whatever the tensor's size.
std::vector<double> SampleValues(const tensor::Tensor& tensor, std::size_t most, std::size_t offset);

}  // namespace mezzo::lifecycle
