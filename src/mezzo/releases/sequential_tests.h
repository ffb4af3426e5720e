#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mezzo/releases/outcomes.h"

namespace mezzo::releases {

/// Tests that may be looked at any time and as often as one likes.
///
/// Each is an e-process: a number M that starts at 1 and, as long as the null hypothesis holds, is expected
/// not to grow with any batch, whatever came before. So the chance that M ever reaches 1/α is at most α
/// (Ville's inequality), and p = 1 / (the largest M so far) is a p-value at every look. (G. Shafer et al.,
/// "Test martingales, Bayes factors and p-values", 2011; R. Johari et al., "Always valid inference", 2022.)
///
/// All take the counts of a batch at a time: what came since the last look. Batches may be of any size and
/// number, so long as when a look is taken does not depend on what the calls after the last look came to.
/// Not thread-safe.
struct Evidence {
  double log_now = 0;   ///< log M.
  double log_best = 0;  ///< The largest so far.

  void Set(double log_m) {
    log_now = log_m;
    if (log_m > log_best) log_best = log_m;
  }
  /// 1 at most; never grows.
  [[nodiscard]] double p_value() const;
  /// 1 / M as it stands, at most 1: falls and rises.
  [[nodiscard]] double p_now() const;
  friend bool operator==(const Evidence&, const Evidence&) = default;
};

/// How many of an arm's calls, and how many of them came to what is counted (failed, slow, ...).
struct ArmCount {
  std::uint64_t calls = 0;
  std::uint64_t hits = 0;

  ArmCount& operator+=(const ArmCount& other) {
    calls += other.calls;
    hits += other.hits;
    return *this;
  }
  [[nodiscard]] double rate() const {
    return calls == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(calls);
  }
  friend bool operator==(const ArmCount&, const ArmCount&) = default;
};

inline constexpr std::size_t kOddsGrid = 9;

/// Options of the two tests of proportions.
struct ProportionOptions {
  /// The most that a single look may multiply M with: so that one hiccup, whose calls all went wrong for one
  /// cause, does not decide alone. Capping from above keeps M an e-process.
  double max_factor_per_look = 100;
  /// A batch is held back until it has this many calls.
  std::uint64_t min_batch = 20;
};

/// Is the canary hit more often than the baseline? Null: within each batch the odds of a canary call are at
/// most `tolerated_odds` times those of a baseline call.
///
/// Given the calls of both arms in a batch and the hits of both together, which of them are the canary's is
/// hypergeometric under equal odds, whatever the rate is (R. A. Fisher's exact test). M multiplies likelihood
/// ratios of Fisher's noncentral hypergeometric law (J. Liao and O. Rosen, 2001, for its sums), mixed over a
/// grid of odds ratios; the law's likelihood ratio is monotone, so smaller odds than the null's make M
/// smaller still. It is a safe test of 2 × 2 tables in the sense of R. Turner, A. Ly and P. Grünwald,
/// "Generic e-variables for exact sequential k-sample tests that allow for optional stopping", 2021,
/// conditioned as theirs on each block's sum. The rate may drift from batch to batch as long as it does so in
/// both arms; the arms may differ in size.
///
/// It assumes that calls of a batch are assigned to arms at random and one by one. With sticky splits the
/// calls of one key go together, so that keys of very different rates make it reject too often.
class TwoProportionTest {
 public:
  struct State {
    std::array<double, kOddsGrid> log_ratios{};
    ArmCount canary_waiting;
    ArmCount baseline_waiting;
    Evidence evidence;
    friend bool operator==(const State&, const State&) = default;
  };
  /// `tolerated_odds` is at least 1.
  TwoProportionTest(ProportionOptions options, double tolerated_odds)
      : options_(options), tolerated_odds_(tolerated_odds) {}
  /// Goes on from a state().
  TwoProportionTest(ProportionOptions options, double tolerated_odds, const State& state)
      : options_(options), tolerated_odds_(tolerated_odds), state_(state) {}

  /// Hits are at most the calls.
  void Add(ArmCount canary, ArmCount baseline);
  /// Forgets what is held back of a batch.
  void DropWaiting() { state_.canary_waiting = state_.baseline_waiting = {}; }
  [[nodiscard]] const Evidence& evidence() const { return state_.evidence; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  ProportionOptions options_;
  double tolerated_odds_;
  State state_;
};

/// Is an arm hit more often than a limit allows? Null: whatever came before, a call is hit with a probability
/// of at most `limit`. M is the likelihood ratio of Bernoulli trials, mixed over the same grid of odds ratios
/// (A. Wald's sequential test, "Sequential Analysis", 1947, with a mixture as H. Robbins', 1970).
class CeilingTest {
 public:
  struct State {
    std::array<double, kOddsGrid> log_ratios{};
    ArmCount seen;
    Evidence evidence;
    friend bool operator==(const State&, const State&) = default;
  };
  /// `limit` lies between 0 and 1, both excluded.
  CeilingTest(ProportionOptions options, double limit) : options_(options), limit_(limit) {}
  CeilingTest(ProportionOptions options, double limit, const State& state)
      : options_(options), limit_(limit), state_(state) {}

  void Add(ArmCount batch);
  [[nodiscard]] const Evidence& evidence() const { return state_.evidence; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  ProportionOptions options_;
  double limit_;
  State state_;
};

/// Has the canary's mean moved to the worse, by more than is tolerated? Null: within each batch the canary's
/// mean is at most (1 + tolerance) × the baseline's (or, where less is worse, at least (1 − tolerance) ×).
///
/// M is the one-sided normal mixture (H. Robbins, 1970; S. Howard et al., "Time-uniform, nonparametric,
/// nonasymptotic confidence sequences", 2021, §3.2) of the sum of each batch's difference over its variance.
/// With `sub_gaussian` the values' σ is known (half the range, when they are bounded) and the test is exact;
/// otherwise σ is estimated from earlier batches, at least `warm_up` values of each arm, which don't count
/// themselves, or from the batch where that spreads wider (so that single outliers say little), and validity
/// is asymptotic (I. Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence
/// sequences", 2024).
class MeanShiftTest {
 public:
  struct Options {
    bool less_is_worse = false;
    double tolerance = 0;  ///< Relative, not negative.
    std::optional<double> sub_gaussian;
    std::uint64_t warm_up = 100;
    /// The shift it is best at, in σ.
    double expected_shift = 0.2;
    std::uint64_t min_batch = 20;
  };
  struct State {
    Moments canary_seen;  ///< Of batches that were taken, the warm-up's too.
    Moments baseline_seen;
    Moments canary_waiting;
    Moments baseline_waiting;
    double scale = 0;  ///< 1/τ²; zero until σ is known.
    double sum = 0;
    double information = 0;
    Evidence evidence;
    friend bool operator==(const State&, const State&) = default;
  };
  explicit MeanShiftTest(const Options& options) : options_(options) {}
  MeanShiftTest(const Options& options, const State& state) : options_(options), state_(state) {}

  void Add(const Moments& canary, const Moments& baseline);
  /// Forgets what is held back of a batch.
  void DropWaiting() { state_.canary_waiting = state_.baseline_waiting = {}; }
  [[nodiscard]] const Evidence& evidence() const { return state_.evidence; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  Options options_;
  State state_;
};

/// Do calls arrive at the arms in the proportions that the split asks for? Null: each call goes to arm i with
/// probability shares[i]. M is the Bayes factor of a Dirichlet prior around the shares against the shares
/// (M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022). When the
/// split changes, Expect() begins a new factor and keeps the evidence so far.
class SampleRatioTest {
 public:
  struct State {
    std::vector<double> shares;
    std::vector<std::uint64_t> counts;  ///< Since the last Expect().
    double log_before = 0;              ///< log M at the last Expect().
    Evidence evidence;
    friend bool operator==(const State&, const State&) = default;
  };
  SampleRatioTest() = default;
  explicit SampleRatioTest(State state) : state_(std::move(state)) {}

  /// Positive shares; normalised here.
  void Expect(std::span<const double> shares);
  /// As many counts as there are shares.
  void Add(std::span<const std::uint64_t> batch);
  [[nodiscard]] const Evidence& evidence() const { return state_.evidence; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  State state_;
};

struct Interval {
  double low = 0;
  double high = 0;
  friend bool operator==(const Interval&, const Interval&) = default;
};

/// Holds the true rate at all looks together with probability 1 − alpha: where the Beta(½, ½) mixture of
/// Bernoulli trials does not reject (H. Robbins, 1970).
Interval RateInterval(ArmCount seen, double alpha);
/// The same for the `share`-quantile of the latency, in seconds: values that RateInterval()'s test does not
/// refute to have `share` of the calls below (S. Howard and A. Ramdas, "Sequential estimation of quantiles",
/// 2022). Outer edges of buckets.
Interval QuantileInterval(const LatencyHistogram& latency, double share, double alpha);
/// The same for a mean, asymptotically (Waudby-Smith et al., 2024, theorem 2.2), narrowest near 1,000 values.
Interval MeanInterval(const Moments& seen, double alpha);

}  // namespace mezzo::releases
