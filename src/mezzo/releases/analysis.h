#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/outcomes.h"
#include "mezzo/releases/sequential_tests.h"

namespace mezzo::releases {

/// A number that callers report of a call: a feedback score, a click, a loss.
struct CustomMetric {
  std::string name;
  bool less_is_worse = true;
  double tolerance = 0;  ///< Relative, 0 to 1.
  /// Where all values lie, if known: the test is then exact instead of asymptotic.
  std::optional<Interval> range;
};

/// What a canary is judged by. The chance that a version as good as the stable one is ever rolled back is at
/// most `alpha`: five sets of tests (errors, latency, cost, custom metrics, guardrails) have `alpha_per_set`
/// each, and share it evenly among their tests.
struct AnalysisPolicy {
  double alpha = 0.05;
  double alpha_per_set = 0.01;
  double alpha_sample_ratio = 0.001;  ///< Only pauses, and is not part of `alpha`.

  double tolerated_error_odds = 1;   ///< At least 1.
  double tolerated_slowdown = 0.1;   ///< Of p50 and p99, relative; 0 to 10.
  double tolerated_cost = 0.1;       ///< Of the mean, relative; 0 to 10.
  std::vector<CustomMetric> custom;  ///< At most kCustomMetrics.

  // Guardrails.
  std::optional<double> max_error_rate = 0.01;
  std::optional<Duration> p99_objective;
  /// Of shadows that make pictures: of their pictures at most one in ten may be less like the caller's than
  /// this (SSIM, in steps of 0.05).
  std::optional<double> min_likeness;

  bool check_sample_ratio = true;  ///< Not with sticky splits: their calls come in bunches.
  /// A step that is long enough still waits while some test's p stands below this.
  double doubt = 0.2;

  [[nodiscard]] Result<void> Check() const;  ///< Fails with kInvalidArgument "release_policy".
};

/// Cumulative, over all hosts, since the release began.
struct ArmTotals {
  OutcomeSummary canary;
  OutcomeSummary baseline;  ///< A fresh arm of the stable version, of the canary's size.
  OutcomeSummary stable;    ///< The rest of the split.
};

struct Shares {
  double canary = 0;
  double baseline = 0;
  double stable = 0;
};

/// Where the release's step stands.
struct StepProgress {
  Duration elapsed{};
  Duration min_duration{};
  Duration max_duration{};  ///< Pauses when it is over and the step could not be judged.
  std::uint64_t min_calls = 0;
};

enum class Action : std::uint8_t { kHold, kPromote, kRollBack, kPause };
std::string_view ActionName(Action action);  ///< "hold", "promote", "roll_back", "pause".

/// What one test has seen, for people and plots.
struct MetricEvidence {
  std::string metric;          ///< "error_rate", "latency_p50", "latency_p99", "cost", "max_error_rate",
                               ///< "p99_objective", "min_likeness", "sample_ratio" or "custom:" and a name.
  double canary = 0;           ///< A rate, seconds, device seconds; the canary's share of calls.
  double baseline = 0;         ///< The same of what it is compared with: an arm, or a limit.
  Interval canary_interval;    ///< At the test's level, at all looks together.
  Interval baseline_interval;  ///< Both ends are the limit when it is one.
  std::uint64_t canary_samples = 0;
  std::uint64_t baseline_samples = 0;
  double p_value = 1;    ///< Never grows.
  double p_now = 1;      ///< As it stands.
  double threshold = 0;  ///< Crossed when p_value <= threshold.
  bool crossed = false;
  std::string sentence;
};

struct Verdict {
  Action action = Action::kHold;
  bool insufficient = false;     ///< There was too little traffic to judge the step.
  std::string reason;            ///< One sentence.
  std::uint64_t step_calls = 0;  ///< Of the canary in this step.
  std::vector<MetricEvidence> evidence;

  /// {"action","insufficient","reason","step_calls","evidence":[{...}]}; an infinite bound is null.
  [[nodiscard]] std::string ToJson() const;
};

/// Judges a canary (or a shadow, or one arm of an experiment) look by look. Everything it knows can be kept
/// as text between looks, so that any host can go on. Not thread-safe; no clock, no I/O.
///
/// Errors are compared with all calls of the stable version that the same split drew: they differ from the
/// fresh baseline in nothing that makes calls fail, and there are many more, which halves the time to see a
/// bad canary. Latency and cost depend on an arm's size (batches, warm caches), so they are compared with the
/// fresh baseline; the thresholds of p50 and p99 are estimated before each look from all of the stable
/// version's calls, and both arms' calls beyond them are counted after it.
class Analysis {
 public:
  /// `policy` must pass Check().
  explicit Analysis(AnalysisPolicy policy);
  /// Goes on where State() was taken. Fails with kInvalidArgument "release_analysis_invalid".
  static Result<Analysis> Resume(AnalysisPolicy policy, std::string_view state);
  [[nodiscard]] std::string State() const;

  /// The split has changed: minimum samples are counted anew, evidence is kept. Calls that
  /// may have come under both splits, those of its first 3 s, are compared in no test.
  void BeginStep(const Shares& shares);
  /// Somebody has seen why the release was paused and goes on: the sample ratio and the guardrails are tested
  /// anew, at their full level.
  void Acknowledge();

  /// Takes what came since the last look. Fails with kInvalidArgument "release_outcomes_invalid" when totals
  /// have shrunk; nothing is taken then.
  Result<Verdict> Look(const ArmTotals& totals, const StepProgress& step);

 private:
  void Compare(const ArmTotals& batch);
  void CompareLatency(TwoProportionTest& test, double share, std::uint64_t enough, const ArmTotals& batch);
  void Guard(const ArmTotals& batch);
  [[nodiscard]] std::vector<MetricEvidence> Describe() const;
  void Decide(const StepProgress& step, Verdict& verdict) const;
  [[nodiscard]] const OutcomeSummary& Fresh(const ArmTotals& totals) const;

  AnalysisPolicy policy_;
  TwoProportionTest errors_;
  TwoProportionTest p50_;
  TwoProportionTest p99_;
  MeanShiftTest cost_;
  std::vector<MeanShiftTest> custom_;
  CeilingTest error_limit_;
  CeilingTest p99_limit_;
  CeilingTest likeness_limit_;
  SampleRatioTest ratio_;

  ArmTotals last_;
  Shares shares_;
  bool mixed_ = false;             // The next batch came under two splits.
  std::uint64_t step_canary_ = 0;  // Calls before the step.
  std::uint64_t step_baseline_ = 0;
};

}  // namespace mezzo::releases
