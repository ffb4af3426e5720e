#include "mezzo/lifecycle/drift.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <utility>

#include "mezzo/lifecycle/tensor_compare.h"

namespace mezzo::lifecycle {
namespace {

Error BadEdges(const char* what) { return InvalidArgument("drift_edges", what); }
Error Nothing() { return FailedPrecondition("drift_empty", "there are no values to compare"); }

std::vector<double> FiniteOf(std::span<const double> values) {
  std::vector<double> out;
  out.reserve(values.size());
  std::copy_if(values.begin(), values.end(), std::back_inserter(out),
               [](double v) { return std::isfinite(v); });
  return out;
}

double PValue(double statistic, double n, double m) {
  return KolmogorovSurvival(std::sqrt(n * m / (n + m)) * statistic);
}

}  // namespace

std::vector<double> SampleValues(const tensor::Tensor& tensor, std::size_t most, std::size_t offset) {
  if (most == 0) return {};
  const std::string_view bytes = tensor.data.text();
  if (tensor.dtype == tensor::DType::kBytes) {
    std::vector<double> lengths;
    std::size_t at = 0;
    while (lengths.size() < most && bytes.size() - at >= sizeof(std::uint32_t)) {
      std::uint32_t length = 0;
      std::memcpy(&length, bytes.data() + at, sizeof(length));
      at += sizeof(length);
      if (bytes.size() - at < length) break;  // Not what it says; the model's trouble.
      lengths.push_back(length);
      at += length;
    }
    return lengths;
  }
  const std::size_t size = tensor::DTypeSize(tensor.dtype);
  if (size == 0) return {};
  const std::size_t count = bytes.size() / size;
  if (count <= most) return ElementsAsReals(tensor);
  const std::size_t stride = count / most;
  std::string chosen;
  chosen.reserve(most * size);
  for (std::size_t i = 0; i < most; ++i) chosen += bytes.substr((i * stride + offset % stride) * size, size);
  return ElementsAsReals({.dtype = tensor.dtype,
                          .shape = {static_cast<std::int64_t>(most)},
                          .data = SharedBytes::FromString(std::move(chosen))});
}

Result<DriftHistogram> DriftHistogram::Make(std::vector<double> edges) {
  if (edges.empty() || edges.size() + 1 > kMaxBins) return BadEdges("a histogram has 2 to 64 bins");
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (!std::isfinite(edges[i]) || (i > 0 && edges[i] <= edges[i - 1])) {
      return BadEdges("the edges of bins must be finite and ascend");
    }
  }
  DriftHistogram out;
  out.counts_.resize(edges.size() + 1);
  out.edges_ = std::move(edges);
  return out;
}

Result<DriftHistogram> DriftHistogram::FromReference(std::span<const double> reference, std::size_t bins) {
  if (bins < 2 || bins > kMaxBins) return BadEdges("a histogram has 2 to 64 bins");
  std::vector<double> sorted = FiniteOf(reference);
  if (sorted.empty()) return BadEdges("a reference without values has no quantiles");
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;
  for (std::size_t i = 1; i < bins; ++i) {
    const double edge = sorted[std::min(sorted.size() - 1, i * sorted.size() / bins)];
    if (edges.empty() || edge > edges.back()) edges.push_back(edge);
  }
  MEZZO_TRY(DriftHistogram out, Make(std::move(edges)));
  for (const double value : reference) out.Add(value);
  return out;
}

Result<DriftHistogram> DriftHistogram::WithTails(std::span<const double> reference, std::size_t bins) {
  if (bins + 2 > kMaxBins) return BadEdges("a histogram has 2 to 64 bins");
  MEZZO_TRY(const DriftHistogram inner, FromReference(reference, bins));
  const std::vector<double> finite = FiniteOf(reference);
  const auto [least, greatest] = std::minmax_element(finite.begin(), finite.end());
  std::vector<double> edges = {std::nextafter(*least, -std::numeric_limits<double>::max())};
  if (!std::isfinite(edges.front()) || edges.front() == *least) edges.clear();  // Nothing lies below it.
  for (const double edge : inner.edges()) {
    if (edges.empty() || edge > edges.back()) edges.push_back(edge);
  }
  if (*greatest > edges.back()) edges.push_back(*greatest);
  MEZZO_TRY(DriftHistogram out, Make(std::move(edges)));
  for (const double value : reference) out.Add(value);
  return out;
}

Result<DriftHistogram> DriftHistogram::Restore(std::vector<double> edges, std::vector<std::uint64_t> counts,
                                               std::uint64_t odd) {
  MEZZO_TRY(DriftHistogram out, Make(std::move(edges)));
  if (counts.size() != out.counts_.size()) return BadEdges("there are not as many counts as bins");
  out.counts_ = std::move(counts);
  for (const std::uint64_t count : out.counts_) out.total_ += count;
  out.odd_ = odd;
  return out;
}

void DriftHistogram::Add(double value) {
  if (counts_.empty()) return;
  if (!std::isfinite(value)) {
    ++odd_;
    return;
  }
  const auto at = std::lower_bound(edges_.begin(), edges_.end(), value);
  ++counts_[static_cast<std::size_t>(at - edges_.begin())];
  ++total_;
}

Result<void> DriftHistogram::Merge(const DriftHistogram& other) {
  if (edges_ != other.edges_) return BadEdges("histograms with other edges can't be added");
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
  odd_ += other.odd_;
  return {};
}

DriftHistogram DriftHistogram::Empty() const {
  DriftHistogram out;
  out.edges_ = edges_;
  out.counts_.resize(counts_.size());
  return out;
}

Result<double> PopulationStability(const DriftHistogram& reference, const DriftHistogram& now) {
  if (reference.edges() != now.edges()) return BadEdges("histograms with other edges can't be compared");
  if (reference.total() == 0 || now.total() == 0) return Nothing();
  constexpr double kExtra = 0.5;
  const std::size_t bins = reference.counts().size();
  const double all_before = static_cast<double>(reference.total()) + kExtra * static_cast<double>(bins);
  const double all_now = static_cast<double>(now.total()) + kExtra * static_cast<double>(bins);
  double sum = 0;
  for (std::size_t i = 0; i < bins; ++i) {
    const double p = (static_cast<double>(now.counts()[i]) + kExtra) / all_now;
    const double q = (static_cast<double>(reference.counts()[i]) + kExtra) / all_before;
    sum += (p - q) * std::log(p / q);
  }
  return sum;
}

double KolmogorovSurvival(double x) {
  if (!(x > 0)) return 1;
  // Two series for one function; each converges fast where the other does not.
  constexpr double kCrossing = 1.0;
  constexpr int kTerms = 20;
  double sum = 0;
  if (x < kCrossing) {
    for (int k = 1; k <= kTerms; ++k) {
      const double odd = 2 * k - 1;
      sum += std::exp(-odd * odd * std::numbers::pi * std::numbers::pi / (8 * x * x));
    }
    return std::clamp(1 - std::sqrt(2 * std::numbers::pi) / x * sum, 0.0, 1.0);
  }
  for (int k = 1; k <= kTerms; ++k) sum += (k % 2 == 1 ? 2 : -2) * std::exp(-2.0 * k * k * x * x);
  return std::clamp(sum, 0.0, 1.0);
}

Result<KolmogorovSmirnov> CompareSamples(std::span<const double> a, std::span<const double> b) {
  std::vector<double> first = FiniteOf(a);
  std::vector<double> second = FiniteOf(b);
  if (first.empty() || second.empty()) return Nothing();
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  const auto n = static_cast<double>(first.size());
  const auto m = static_cast<double>(second.size());
  KolmogorovSmirnov out;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < first.size() && j < second.size()) {
    const double value = std::min(first[i], second[j]);
    while (i < first.size() && first[i] <= value) ++i;
    while (j < second.size() && second[j] <= value) ++j;
    out.statistic =
        std::max(out.statistic, std::abs(static_cast<double>(i) / n - static_cast<double>(j) / m));
  }
  out.p_value = PValue(out.statistic, n, m);
  return out;
}

Result<KolmogorovSmirnov> CompareHistograms(const DriftHistogram& a, const DriftHistogram& b) {
  if (a.edges() != b.edges()) return BadEdges("histograms with other edges can't be compared");
  if (a.total() == 0 || b.total() == 0) return Nothing();
  const auto n = static_cast<double>(a.total());
  const auto m = static_cast<double>(b.total());
  KolmogorovSmirnov out;
  std::uint64_t below_a = 0;
  std::uint64_t below_b = 0;
  for (std::size_t i = 0; i < a.counts().size(); ++i) {
    below_a += a.counts()[i];
    below_b += b.counts()[i];
    out.statistic = std::max(out.statistic,
                             std::abs(static_cast<double>(below_a) / n - static_cast<double>(below_b) / m));
  }
  out.p_value = PValue(out.statistic, n, m);
  return out;
}

}  // namespace mezzo::lifecycle
