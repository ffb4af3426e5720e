#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/mutex.h"
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

/// Watches one tensor of one version: a reservoir of values until the reference is full, then a histogram of
/// what comes, compared with the reference. Thread-safe; a mutex, held for the sampled calls only.
class DriftSketch {
 public:
  struct Options {
    std::size_t reference_size = 4096;  ///< Values of the reference window.
    std::size_t bins = 20;
    std::size_t values_per_call = 64;  ///< Taken evenly from a sampled tensor.
    std::uint64_t window = 65'536;     ///< Values after which the older half loses its weight.
  };
  explicit DriftSketch(Options options) : options_(options) {}

  /// Takes a few values of a tensor of numbers. Texts are not looked at.
  void Add(const tensor::Tensor& tensor) EXCLUDES(mu_);
  void AddValues(std::span<const double> values) EXCLUDES(mu_);
  /// What is now compared with what was first; nothing while there is no reference, or too little since.
  [[nodiscard]] std::optional<double> Stability() const EXCLUDES(mu_);
  [[nodiscard]] std::optional<KolmogorovSmirnov> Kolmogorov() const EXCLUDES(mu_);
  /// Empty until the reference window is full.
  [[nodiscard]] std::optional<DriftHistogram> reference() const EXCLUDES(mu_);
  [[nodiscard]] DriftHistogram now() const EXCLUDES(mu_);
  /// Adds what another host has seen since; its reference must be this one's. Fails with kInvalidArgument
  /// "drift_edges".
  Result<void> Merge(const DriftHistogram& other) EXCLUDES(mu_);
  /// Begins with the reference of another host or of before a restart. Fails with kInvalidArgument
  /// "drift_edges".
  Result<void> SetReference(DriftHistogram reference) EXCLUDES(mu_);

 private:
  /// Fewer tell nothing.
  static constexpr std::uint64_t kLeastValues = 200;
  [[nodiscard]] bool CanCompare() const REQUIRES(mu_);

  const Options options_;
  mutable Mutex mu_;
  std::vector<double> collecting_ GUARDED_BY(mu_);
  std::optional<DriftHistogram> reference_ GUARDED_BY(mu_);
  DriftHistogram now_ GUARDED_BY(mu_);
  DriftHistogram last_ GUARDED_BY(mu_);  ///< The full window before.
};

/// Every n-th call, by one relaxed increment: what an unsampled call pays.
class DriftSampler {
 public:
  /// `one_in` 0 samples nothing.
  explicit DriftSampler(std::uint32_t one_in) : one_in_(one_in) {}
  bool Sample() { return one_in_ != 0 && calls_.fetch_add(1, std::memory_order_relaxed) % one_in_ == 0; }

 private:
  const std::uint32_t one_in_;
  std::atomic<std::uint64_t> calls_{0};  // Alone: nothing is published by it.
};

}  // namespace mezzo::lifecycle
