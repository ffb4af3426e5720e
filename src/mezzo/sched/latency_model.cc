#include "mezzo/sched/latency_model.h"

#include <algorithm>
#include <cmath>

namespace mezzo::sched {
namespace {

constexpr double kForget = 0.98;  // Weight of the past per sample: the last ~50 count.
constexpr double kClip = 4.0;     // Residuals count at most this many mean deviations.
constexpr double kMinDeviation =
    0.05;  // Of the prediction; keeps the clip from closing on a very steady model.
constexpr double kDeviationGain = 0.1;
constexpr double kSlopeTrust =
    0.02;  // Strength of "proportional" against observed spread of sizes, per mean size².
constexpr double kQuantile = 0.95;
constexpr std::uint32_t kFewRatios = 16;  // Until then the first guess of the quantile holds at least.
constexpr double kMuchFaster = 0.7;
constexpr std::uint32_t kFastInRow = 4;
constexpr double kKeepOfSlowness = 0.1;
constexpr double kFirstHighRatio = 1.2;
constexpr double kMaxHighRatio = 4.0;
constexpr double kMinRun = 100;  // ns; nothing runs for free, and ratios need a divisor.

double Nanoseconds(Duration duration) { return std::max(kMinRun, static_cast<double>(duration.count())); }

}  // namespace

LatencyFit::LatencyFit(Duration solo, double marginal)
    : marginal_(std::clamp(marginal, 0.0, 1.0)),
      base_(Nanoseconds(solo) * (1 - marginal_)),
      slope_(Nanoseconds(solo) * marginal_),
      high_ratio_(kFirstHighRatio),
      deviation_(0) {}

void LatencyFit::Learn(std::uint32_t rows, Duration measured) {
  sizer_.Learn(rows, measured);
  const double n = rows;
  double y = Nanoseconds(measured);
  if (samples_ > 0) {
    const double predicted = std::max(kMinRun, base_ + slope_ * n);
    NoteRatio(y / predicted);
    fast_in_row_ = y < kMuchFaster * predicted ? fast_in_row_ + 1 : 0;
    if (fast_in_row_ >= kFastInRow) ForgetSlowness();

    // A single outlier is clipped; a real change of speed raises the deviation and soon passes.
    const double residual = y - predicted;
    const double limit = kClip * std::max(deviation_, kMinDeviation * predicted);
    const double seen = std::min(std::abs(residual), 2 * limit);
    deviation_ += kDeviationGain * (seen - deviation_);
    y = predicted + std::clamp(residual, -limit, limit);
  } else {
    deviation_ = 0.5 * y;
  }
  ++samples_;
  weight_ = kForget * weight_ + 1;
  sum_n_ = kForget * sum_n_ + n;
  sum_nn_ = kForget * sum_nn_ + n * n;
  sum_y_ = kForget * sum_y_ + y;
  sum_ny_ = kForget * sum_ny_ + n * y;
  Solve();
}

void LatencyFit::NoteRatio(double ratio) {
  ratios_[ratio_count_++ % kRatios] = static_cast<float>(ratio);
  if (ratio_count_ > kFewRatios && ratio_count_ % 4 != 0) return;
  std::array<float, kRatios> sorted = ratios_;
  const auto count = std::min<std::size_t>(ratio_count_, kRatios);
  const auto rank = std::lround(kQuantile * static_cast<double>(count - 1));
  std::nth_element(sorted.begin(), sorted.begin() + rank,
                   sorted.begin() + static_cast<std::ptrdiff_t>(count));
  high_ratio_ = std::clamp<double>(sorted[static_cast<std::size_t>(rank)], 1.0, kMaxHighRatio);
  if (ratio_count_ < kFewRatios) high_ratio_ = std::max(high_ratio_, kFirstHighRatio);
}

void LatencyFit::ForgetSlowness() {
  for (double* sum : {&weight_, &sum_n_, &sum_nn_, &sum_y_, &sum_ny_}) *sum *= kKeepOfSlowness;
  ratio_count_ = 0;
  high_ratio_ = kFirstHighRatio;
  fast_in_row_ = 0;
}

void LatencyFit::Solve() {
  const double mean_n = sum_n_ / weight_;
  const double mean_y = sum_y_ / weight_;
  const double spread = std::max(0.0, sum_nn_ / weight_ - mean_n * mean_n);
  const double joint = sum_ny_ / weight_ - mean_n * mean_y;
  // Ridge on the slope alone, towards the assumed line: the fit always passes through the centroid, so a
  // model that only ever ran one size is predicted without bias at that size.
  const double proportional = mean_y / mean_n;
  const double assumed = mean_y * marginal_ / (1 - marginal_ + marginal_ * mean_n);
  const double trust = kSlopeTrust * mean_n * mean_n / std::min<double>(50, static_cast<double>(samples_));
  slope_ = std::clamp((joint + trust * assumed) / (spread + trust), 0.0, proportional);
  base_ = std::max(0.0, mean_y - slope_ * mean_n);
}

std::uint32_t LatencyFit::RowsWithin(Duration budget, std::uint32_t limit) const {
  const double room = static_cast<double>(budget.count()) / high_ratio_ - base_;
  if (room < slope_) return 0;
  if (room >= slope_ * limit) return limit;
  return static_cast<std::uint32_t>(room / slope_);
}

LatencyModel::LatencyModel(Duration solo, double marginal, std::size_t max_keys)
    : prior_(solo, marginal),
      max_keys_(std::max<std::size_t>(1, max_keys)),
      overall_(prior_),
      row_cost_(Nanoseconds(solo)) {
  entries_.reserve(max_keys_);
}

void LatencyModel::Learn(std::uint64_t key, std::uint32_t rows, Duration measured) {
  const double row_cost = Nanoseconds(measured) / rows;
  if (overall_.samples() == 0) {
    row_cost_ = row_cost;
  } else {
    // Weighted by rows, since what is asked later is the cost of a queued row; a jump counts at most
    // eightfold.
    const double gain = 1 - std::pow(1 - 0.05, std::min<double>(rows, 8));
    row_cost_ += gain * (std::min(row_cost, 8 * row_cost_) - row_cost_);
  }
  overall_.Learn(rows, measured);

  ++clock_;
  auto entry = std::find_if(entries_.begin(), entries_.end(), [key](const Entry& e) { return e.key == key; });
  if (entry == entries_.end()) {
    if (entries_.size() < max_keys_) {
      entries_.push_back({.key = key, .used = clock_, .fit = prior_});
      entry = entries_.end() - 1;
    } else {
      entry = std::min_element(entries_.begin(), entries_.end(),
                               [](const Entry& a, const Entry& b) { return a.used < b.used; });
      *entry = {.key = key, .used = clock_, .fit = prior_};
    }
  }
  entry->used = clock_;
  entry->fit.Learn(rows, measured);
}

const LatencyFit& LatencyModel::For(std::uint64_t key) const {
  if (last_ < entries_.size() && entries_[last_].key == key) return entries_[last_].fit;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].key != key) continue;
    last_ = i;
    return entries_[i].fit;
  }
  return overall_;
}

}  // namespace mezzo::sched
