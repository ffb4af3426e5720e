#include "mezzo/releases/sequential_tests.h"

#include <math.h>  // lgamma_r(): std::lgamma() writes a global.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "mezzo/base/check.h"

namespace mezzo::releases {
namespace {

// Odds ratios beyond the null's, and how much each is thought of beforehand. A release that is bad is mostly
// bad by much; a small difference takes long whatever the weights are, a large one is found sooner by them.
constexpr std::array<double, kOddsGrid> kOdds = {1.3, 1.7, 2.5, 4, 7, 12, 20, 35, 70};
constexpr std::array<double, kOddsGrid> kWeights = {0.01, 0.02, 0.03, 0.05, 0.10, 0.17, 0.27, 0.26, 0.09};
constexpr double kDirichletStrength = 100;  // Deviations of some 10 % of a coin's share are found soonest.
constexpr double kNegligible = 1e-18;

double LogGamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}
double LogBeta(double a, double b) { return LogGamma(a) + LogGamma(b) - LogGamma(a + b); }
double LogChoose(double n, double k) { return LogGamma(n + 1) - LogGamma(k + 1) - LogGamma(n - k + 1); }

/// log Φ(z).
double LogNormalCdf(double z) {
  if (z > -30) return std::log(0.5 * std::erfc(-z / std::numbers::sqrt2));
  return -z * z / 2 - std::log(-z) - 0.5 * std::log(2 * std::numbers::pi);
}

/// log of Σ exp(parts[i]) · kWeights[i].
double LogMixture(const std::array<double, kOddsGrid>& parts) {
  const double top = *std::max_element(parts.begin(), parts.end());
  double sum = 0;
  for (std::size_t i = 0; i < kOddsGrid; ++i) sum += kWeights[i] * std::exp(parts[i] - top);
  return top + std::log(sum);
}

/// The hits of the first arm, given those of both: weights C(first, y) · C(second, hits − y) · odds^y.
class HitSplit {
 public:
  HitSplit(double first, double second, double hits) : first_(first), second_(second), hits_(hits) {
    low_ = std::max(0.0, hits - second);
    high_ = std::min(hits, first);
  }
  /// log of the weights' sum, from the largest one outwards until they no longer count.
  [[nodiscard]] double LogSum(double odds) const {
    const double mode = Mode(odds);
    const double log_mode =
        LogChoose(first_, mode) + LogChoose(second_, hits_ - mode) + mode * std::log(odds);
    double sum = 1;
    double weight = 1;
    for (double y = mode; y < high_ && weight > kNegligible * sum; ++y) {
      weight *= Ratio(y, odds);
      sum += weight;
    }
    weight = 1;
    for (double y = mode; y > low_ && weight > kNegligible * sum; --y) {
      weight /= Ratio(y - 1, odds);
      sum += weight;
    }
    return log_mode + std::log(sum);
  }

 private:
  /// Of the weight of y + 1 to that of y.
  [[nodiscard]] double Ratio(double y, double odds) const {
    return odds * (first_ - y) * (hits_ - y) / ((y + 1) * (second_ - hits_ + y + 1));
  }
  /// Liao and Rosen, 2001: the root of Ratio(y) = 1, then the exact one beside it.
  [[nodiscard]] double Mode(double odds) const {
    double guess = hits_ * first_ / (first_ + second_);
    if (odds != 1) {
      const double a = odds - 1;
      const double b = -((first_ + hits_ + 2) * odds + second_ - hits_);
      const double c = odds * (first_ + 1) * (hits_ + 1);
      guess = -2 * c / (b - std::sqrt(std::max(b * b - 4 * a * c, 0.0)));
    }
    double mode = std::clamp(std::floor(guess), low_, high_);
    while (mode < high_ && Ratio(mode, odds) > 1) ++mode;
    while (mode > low_ && Ratio(mode - 1, odds) < 1) --mode;
    return mode;
  }

  double first_;
  double second_;
  double hits_;
  double low_ = 0;
  double high_ = 0;
};

/// log of the Beta(½, ½) mixture over Bernoulli(p) for `hits` of `calls`.
double LogRateEvidence(double calls, double hits, double p) {
  constexpr double kPrior = 0.5;
  double evidence = LogBeta(kPrior + hits, kPrior + calls - hits) - LogBeta(kPrior, kPrior);
  if (hits > 0) evidence -= hits * std::log(p);
  if (calls > hits) evidence -= (calls - hits) * std::log1p(-p);
  return evidence;
}

}  // namespace

double Evidence::p_value() const { return std::exp(-log_best); }
double Evidence::p_now() const { return std::min(1.0, std::exp(-log_now)); }

void TwoProportionTest::Add(ArmCount canary, ArmCount baseline) {
  MEZZO_CHECK(canary.hits <= canary.calls && baseline.hits <= baseline.calls);
  state_.canary_waiting += canary;
  state_.baseline_waiting += baseline;
  const ArmCount first = state_.canary_waiting;
  const ArmCount second = state_.baseline_waiting;
  if (first.calls == 0 || second.calls == 0 || first.calls + second.calls < options_.min_batch) return;
  state_.canary_waiting = {};
  state_.baseline_waiting = {};
  const std::uint64_t hits = first.hits + second.hits;
  if (hits == 0 || hits == first.calls + second.calls) return;  // They could not have fallen otherwise.
  const HitSplit split(static_cast<double>(first.calls), static_cast<double>(second.calls),
                       static_cast<double>(hits));
  const double null = split.LogSum(tolerated_odds_);
  const double cap = std::log(options_.max_factor_per_look);
  for (std::size_t i = 0; i < kOddsGrid; ++i) {
    const double ratio = static_cast<double>(first.hits) * std::log(kOdds[i]) -
                         (split.LogSum(kOdds[i] * tolerated_odds_) - null);
    state_.log_ratios[i] += std::min(ratio, cap);
  }
  state_.evidence.Set(LogMixture(state_.log_ratios));
}

void CeilingTest::Add(ArmCount batch) {
  MEZZO_CHECK(batch.hits <= batch.calls && limit_ > 0 && limit_ < 1);
  if (batch.calls == 0) return;
  state_.seen += batch;
  const auto hits = static_cast<double>(batch.hits);
  const auto others = static_cast<double>(batch.calls - batch.hits);
  const double cap = std::log(options_.max_factor_per_look);
  for (std::size_t i = 0; i < kOddsGrid; ++i) {
    // p = ω l / (1 − l + ω l), so that (1 − p) / (1 − l) = 1 / (1 − l + ω l).
    const double spread = 1 - limit_ + kOdds[i] * limit_;
    const double ratio = hits * std::log(kOdds[i] / spread) - others * std::log(spread);
    state_.log_ratios[i] += std::min(ratio, cap);
  }
  state_.evidence.Set(LogMixture(state_.log_ratios));
}

void MeanShiftTest::Add(const Moments& canary, const Moments& baseline) {
  state_.canary_waiting += canary;
  state_.baseline_waiting += baseline;
  const Moments first = state_.canary_waiting;
  const Moments second = state_.baseline_waiting;
  if (first.count == 0 || second.count == 0 || first.count + second.count < options_.min_batch) return;
  state_.canary_waiting = {};
  state_.baseline_waiting = {};
  const Moments first_seen = state_.canary_seen;
  const Moments second_seen = state_.baseline_seen;
  state_.canary_seen += first;
  state_.baseline_seen += second;

  double first_variance = 0;
  double second_variance = 0;
  if (options_.sub_gaussian) {
    first_variance = second_variance = *options_.sub_gaussian * *options_.sub_gaussian;
  } else {
    if (first_seen.count < options_.warm_up || second_seen.count < options_.warm_up) return;
    Moments both = first_seen;
    both += second_seen;
    // Values that never differ within an arm are as uncertain as those of both arms together.
    const double spare = both.variance();
    first_variance = first_seen.variance() > 0 ? first_seen.variance() : spare;
    second_variance = second_seen.variance() > 0 ? second_seen.variance() : spare;
    // One value a thousand times the others, which earlier batches had none of, is no shift of the mean: the
    // batch's own spread counts where it is larger.
    first_variance = std::max(first_variance, first.variance());
    second_variance = std::max(second_variance, second.variance());
  }
  if (first_variance <= 0 || second_variance <= 0) return;
  if (state_.scale == 0) {
    const double variance = (first_variance + second_variance) / 2;
    state_.scale = 1 / (options_.expected_shift * options_.expected_shift * variance);
  }
  const double factor = options_.less_is_worse ? 1 - options_.tolerance : 1 + options_.tolerance;
  double worse = first.mean() - factor * second.mean();
  if (options_.less_is_worse) worse = -worse;
  const double variance = first_variance / static_cast<double>(first.count) +
                          factor * factor * second_variance / static_cast<double>(second.count);
  state_.sum += worse / variance;
  state_.information += 1 / variance;
  const double spread = state_.information + state_.scale;
  const double log_m = std::numbers::ln2 + 0.5 * std::log(state_.scale / spread) +
                       state_.sum * state_.sum / (2 * spread) + LogNormalCdf(state_.sum / std::sqrt(spread));
  state_.evidence.Set(log_m);
}

void SampleRatioTest::Expect(std::span<const double> shares) {
  double sum = 0;
  for (const double share : shares) {
    MEZZO_CHECK(share > 0);
    sum += share;
  }
  state_.shares.assign(shares.begin(), shares.end());
  for (double& share : state_.shares) share /= sum;
  state_.counts.assign(shares.size(), 0);
  state_.log_before = state_.evidence.log_now;
}

void SampleRatioTest::Add(std::span<const std::uint64_t> batch) {
  MEZZO_CHECK(batch.size() == state_.counts.size());
  double log_m = state_.log_before;
  double calls = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    state_.counts[i] += batch[i];
    const auto count = static_cast<double>(state_.counts[i]);
    const double prior = kDirichletStrength * state_.shares[i];
    log_m += LogGamma(prior + count) - LogGamma(prior) - count * std::log(state_.shares[i]);
    calls += count;
  }
  log_m += LogGamma(kDirichletStrength) - LogGamma(kDirichletStrength + calls);
  state_.evidence.Set(log_m);
}

Interval RateInterval(ArmCount seen, double alpha) {
  if (seen.calls == 0) return {.low = 0, .high = 1};
  const auto calls = static_cast<double>(seen.calls);
  const auto hits = static_cast<double>(seen.hits);
  const double enough = -std::log(alpha);
  const auto edge = [&](double inside, double outside) {
    for (int i = 0; i < 60; ++i) {
      const double middle = (inside + outside) / 2;
      (LogRateEvidence(calls, hits, middle) < enough ? inside : outside) = middle;
    }
    return outside;
  };
  const double rate = seen.rate();
  // Near 0 and 1 the logarithms end the search before it gets there.
  return {.low = seen.hits == 0 ? 0 : edge(rate, 0), .high = seen.hits == seen.calls ? 1 : edge(rate, 1)};
}

Interval QuantileInterval(const LatencyHistogram& latency, double share, double alpha) {
  const std::uint64_t total = latency.total();
  const double top = Seconds(LatencyHistogram::LowerEdge(LatencyHistogram::kBuckets - 1));
  if (total == 0) return {.low = 0, .high = top};
  const auto calls = static_cast<double>(total);
  const double enough = -std::log(alpha);
  // Ranks that the quantile may have; the evidence falls towards calls · share and rises behind it.
  const auto edge = [&](double inside, double outside) {
    if (LogRateEvidence(calls, outside, share) < enough) return outside;
    while (std::abs(inside - outside) > 1) {
      const double middle = std::floor((inside + outside) / 2);
      (LogRateEvidence(calls, middle, share) < enough ? inside : outside) = middle;
    }
    return inside;
  };
  const double middle = std::clamp(std::round(calls * share), 0.0, calls);
  const double low = edge(middle, 0);
  const double high = edge(middle, calls);
  Interval interval{.low = 0, .high = top};
  if (low >= 1) interval.low = Seconds(LatencyHistogram::LowerEdge(latency.RankBucket(low)));
  if (high < calls) {
    const std::size_t bucket = latency.RankBucket(high + 1);
    interval.high =
        Seconds(LatencyHistogram::LowerEdge(std::min(bucket + 1, LatencyHistogram::kBuckets - 1)));
  }
  return interval;
}

Interval MeanInterval(const Moments& seen, double alpha) {
  constexpr double kNarrowestAt = 1000;
  const double infinity = std::numeric_limits<double>::infinity();
  if (seen.count < 2) return {.low = -infinity, .high = infinity};
  const auto n = static_cast<double>(seen.count);
  const double twice = -2 * std::log(alpha);
  const double rho_squared = (twice + std::log(twice) + 1) / kNarrowestAt;
  const double inner = n * rho_squared + 1;
  const double half = std::sqrt(seen.variance()) *
                      std::sqrt(2 * inner / (n * n * rho_squared) * std::log(std::sqrt(inner) / alpha));
  return {.low = seen.mean() - half, .high = seen.mean() + half};
}

}  // namespace mezzo::releases
