#include "mezzo/releases/analysis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/releases/internal/analysis_state.h"

namespace mezzo::releases {
namespace {

using nlohmann::json;

constexpr std::size_t kSets = 5;
constexpr std::uint64_t kEnoughForMedian = 50;
constexpr std::uint64_t kEnoughForP99 = 500;
constexpr double kP99Share = 0.01;
constexpr Duration kSwitchTime = std::chrono::seconds(3);  // Until all hosts route and report by a new split.
constexpr double kUnlikeShare = 0.1;  // Of pictures that may differ by more than `min_likeness`.
constexpr double kNoLimit = 0.5;      // Of a guardrail that is off: its test is never read.

/// Calls that are counted to their end: numbers that come from one reading agree with one another.
std::uint64_t Judged(const OutcomeSummary& arm) { return arm.latency.total() + arm.errors; }
ArmCount Errors(const OutcomeSummary& arm) { return {.calls = Judged(arm), .hits = arm.errors}; }
ArmCount Beyond(const OutcomeSummary& arm, std::size_t bucket) {
  return {.calls = arm.latency.total(), .hits = arm.latency.From(bucket)};
}
/// Pictures, and those that are less alike than `likeness`.
ArmCount Unlike(const OutcomeSummary& arm, double likeness) {
  ArmCount count;
  const std::size_t enough = LikenessBucket(likeness);
  for (std::size_t i = 0; i < kLikenessBuckets; ++i) {
    count.calls += arm.likeness[i];
    if (i < enough) count.hits += arm.likeness[i];
  }
  return count;
}
/// The first bucket in which nothing is below `latency`.
std::size_t BucketFrom(Duration latency) {
  const std::size_t bucket = LatencyHistogram::IndexOf(latency);
  if (LatencyHistogram::LowerEdge(bucket) >= latency) return bucket;
  return std::min(bucket + 1, LatencyHistogram::kBuckets - 1);
}

MeanShiftTest::Options CostOptions(const AnalysisPolicy& policy) {
  return {.less_is_worse = false,
          .tolerance = policy.tolerated_cost,
          .sub_gaussian = std::nullopt,
          .warm_up = 100,
          .expected_shift = 0.2,
          .min_batch = 20};
}
MeanShiftTest::Options CustomOptions(const CustomMetric& metric) {
  MeanShiftTest::Options options{.less_is_worse = metric.less_is_worse,
                                 .tolerance = metric.tolerance,
                                 .sub_gaussian = std::nullopt,
                                 .warm_up = 30,
                                 .expected_shift = 0.2,
                                 .min_batch = 2};
  if (metric.range) options.sub_gaussian = (metric.range->high - metric.range->low) / 2;
  return options;
}

double LatencyAt(const LatencyHistogram& latency, double share) {
  return latency.total() == 0 ? 0 : Seconds(LatencyHistogram::LowerEdge(latency.QuantileBucket(share)));
}

void Conclude(const Evidence& evidence, double threshold, MetricEvidence& into) {
  into.p_value = evidence.p_value();
  into.p_now = evidence.p_now();
  into.threshold = threshold;
  into.crossed = into.p_value <= threshold;
}

std::string Verb(const MetricEvidence& metric, std::string_view crossed, std::string_view otherwise) {
  return fmt::format("p = {:.2g} {} {:.2g}: {}", metric.p_value, metric.crossed ? "≤" : ">", metric.threshold,
                     metric.crossed ? crossed : otherwise);
}

MetricEvidence DescribeRates(ArmCount canary, ArmCount baseline, const Evidence& evidence, double threshold) {
  MetricEvidence metric{.metric = "error_rate"};
  Conclude(evidence, threshold, metric);
  metric.canary = canary.rate();
  metric.baseline = baseline.rate();
  metric.canary_interval = RateInterval(canary, threshold);
  metric.baseline_interval = RateInterval(baseline, threshold);
  metric.canary_samples = canary.calls;
  metric.baseline_samples = baseline.calls;
  metric.sentence =
      fmt::format("{:.3g} % of the canary's {} calls failed, {:.3g} % of the stable version's {}; {}.",
                  100 * metric.canary, canary.calls, 100 * metric.baseline, baseline.calls,
                  Verb(metric, "the canary fails more often", "no difference shown"));
  return metric;
}

MetricEvidence DescribeLatency(std::string_view name, double share, const LatencyHistogram& canary,
                               const LatencyHistogram& baseline, const Evidence& evidence, double threshold) {
  MetricEvidence metric{.metric = fmt::format("latency_{}", name)};
  Conclude(evidence, threshold, metric);
  metric.canary = LatencyAt(canary, share);
  metric.baseline = LatencyAt(baseline, share);
  metric.canary_interval = QuantileInterval(canary, share, threshold);
  metric.baseline_interval = QuantileInterval(baseline, share, threshold);
  metric.canary_samples = canary.total();
  metric.baseline_samples = baseline.total();
  metric.sentence = fmt::format(
      "{} is {:.4g} ms in the canary's {} calls, {:.4g} ms in the baseline's {}; {}.", name,
      1000 * metric.canary, metric.canary_samples, 1000 * metric.baseline, metric.baseline_samples,
      Verb(metric, "the canary is slower than tolerated", "no such difference shown"));
  return metric;
}

MetricEvidence DescribeMeans(std::string name, const Moments& canary, const Moments& baseline,
                             const Evidence& evidence, double threshold) {
  MetricEvidence metric{.metric = std::move(name)};
  Conclude(evidence, threshold, metric);
  metric.canary = canary.mean();
  metric.baseline = baseline.mean();
  metric.canary_interval = MeanInterval(canary, threshold);
  metric.baseline_interval = MeanInterval(baseline, threshold);
  metric.canary_samples = canary.count;
  metric.baseline_samples = baseline.count;
  metric.sentence =
      fmt::format("The mean is {:.4g} over the canary's {} values, {:.4g} over the baseline's {}; {}.",
                  metric.canary, canary.count, metric.baseline, baseline.count,
                  Verb(metric, "the canary is worse than tolerated", "no such difference shown"));
  return metric;
}

MetricEvidence DescribeLimit(std::string name, ArmCount seen, double limit, std::string_view what,
                             const Evidence& evidence, double threshold) {
  MetricEvidence metric{.metric = std::move(name)};
  Conclude(evidence, threshold, metric);
  metric.canary = seen.rate();
  metric.baseline = limit;
  metric.canary_interval = RateInterval(seen, threshold);
  metric.baseline_interval = {.low = limit, .high = limit};
  metric.canary_samples = seen.calls;
  metric.sentence = fmt::format("{:.3g} % of the canary's {} calls {}, where {:.3g} % are allowed; {}.",
                                100 * metric.canary, seen.calls, what, 100 * limit,
                                Verb(metric, "the limit is broken", "the limit is not shown to be broken"));
  return metric;
}

}  // namespace

std::string_view ActionName(Action action) {
  switch (action) {
    case Action::kHold:
      return "hold";
    case Action::kPromote:
      return "promote";
    case Action::kRollBack:
      return "roll_back";
    case Action::kPause:
      return "pause";
  }
  return "hold";
}

Result<void> AnalysisPolicy::Check() const {
  const auto refuse = [](const std::string& what) { return InvalidArgument("release_policy", what); };
  if (!(alpha > 0 && alpha < 0.5)) return refuse("alpha must lie between 0 and 0.5");
  if (!(alpha_per_set > 0 && alpha_per_set * kSets <= alpha * (1 + 1e-9))) {
    return refuse("alpha_per_set must be positive, and five times it at most alpha");
  }
  if (!(alpha_sample_ratio > 0 && alpha_sample_ratio < 0.5)) {
    return refuse("alpha_sample_ratio must lie between 0 and 0.5");
  }
  if (!(tolerated_error_odds >= 1 && tolerated_error_odds <= 100)) {
    return refuse("tolerated_error_odds must lie in 1 to 100");
  }
  if (!(tolerated_slowdown >= 0 && tolerated_slowdown <= 10)) {
    return refuse("tolerated_slowdown must lie in 0 to 10");
  }
  if (!(tolerated_cost >= 0 && tolerated_cost <= 10)) return refuse("tolerated_cost must lie in 0 to 10");
  if (max_error_rate && !(*max_error_rate > 0 && *max_error_rate < 1)) {
    return refuse("max_error_rate must lie between 0 and 1");
  }
  if (p99_objective && *p99_objective <= Duration::zero()) return refuse("p99_objective must be positive");
  if (min_likeness) {
    const double steps = *min_likeness * static_cast<double>(kLikenessBuckets);
    if (!(steps > 0.5 && steps < static_cast<double>(kLikenessBuckets) - 0.5 &&
          std::abs(steps - std::round(steps)) < 1e-6)) {
      return refuse("min_likeness must be 0.05 to 0.95, in steps of 0.05");
    }
  }
  if (!(doubt > 0 && doubt <= 1)) return refuse("doubt must lie in 0 to 1");
  if (custom.size() > kCustomMetrics) {
    return refuse(
        fmt::format("a release has {} custom metrics; the limit is {}", custom.size(), kCustomMetrics));
  }
  for (const CustomMetric& metric : custom) {
    if (!IsSafeName(metric.name)) return refuse("a custom metric needs a name of letters, digits and ._-");
    if (!(metric.tolerance >= 0 && metric.tolerance <= 1)) {
      return refuse("the tolerance of custom metric '" + metric.name + "' must lie in 0 to 1");
    }
    if (metric.range && !(metric.range->low < metric.range->high && std::isfinite(metric.range->low) &&
                          std::isfinite(metric.range->high))) {
      return refuse("the range of custom metric '" + metric.name + "' must not be empty");
    }
    const auto same = [&](const CustomMetric& other) { return other.name == metric.name; };
    if (std::count_if(custom.begin(), custom.end(), same) > 1) {
      return refuse("custom metric '" + metric.name + "' is named twice");
    }
  }
  return {};
}

Analysis::Analysis(AnalysisPolicy policy)
    : policy_(std::move(policy)),
      errors_({}, policy_.tolerated_error_odds),
      p50_({}, 1),
      p99_({}, 1),
      cost_(CostOptions(policy_)),
      error_limit_({}, policy_.max_error_rate.value_or(kNoLimit)),
      p99_limit_({}, kP99Share),
      likeness_limit_({}, kUnlikeShare) {
  MEZZO_CHECK(policy_.Check().ok());
  for (const CustomMetric& metric : policy_.custom) custom_.emplace_back(CustomOptions(metric));
}

std::string Analysis::State() const {
  json state;
  state["errors"] = internal::Put(errors_.state());
  state["p50"] = internal::Put(p50_.state());
  state["p99"] = internal::Put(p99_.state());
  state["cost"] = internal::Put(cost_.state());
  state["custom"] = json::array();
  for (const MeanShiftTest& test : custom_) state["custom"].push_back(internal::Put(test.state()));
  state["error_limit"] = internal::Put(error_limit_.state());
  state["p99_limit"] = internal::Put(p99_limit_.state());
  state["likeness_limit"] = internal::Put(likeness_limit_.state());
  state["ratio"] = internal::Put(ratio_.state());
  state["last"] = {Base64Encode(last_.canary.Serialise()), Base64Encode(last_.baseline.Serialise()),
                   Base64Encode(last_.stable.Serialise())};
  state["shares"] = {shares_.canary, shares_.baseline, shares_.stable};
  state["mixed"] = mixed_;
  state["step"] = {step_canary_, step_baseline_};
  return state.dump();
}

Result<Analysis> Analysis::Resume(AnalysisPolicy policy, std::string_view state) {
  const auto invalid = [](std::string_view what) {
    return InvalidArgument("release_analysis_invalid",
                           "the state of a release's analysis " + std::string(what));
  };
  MEZZO_TRY_VOID(policy.Check());
  Analysis analysis(std::move(policy));
  try {  // The library's way to say that a member is missing or of another type.
    const json from = json::parse(state);
    analysis.errors_ = TwoProportionTest({}, analysis.policy_.tolerated_error_odds,
                                         internal::GetProportions(from.at("errors")));
    analysis.p50_ = TwoProportionTest({}, 1, internal::GetProportions(from.at("p50")));
    analysis.p99_ = TwoProportionTest({}, 1, internal::GetProportions(from.at("p99")));
    analysis.cost_ = MeanShiftTest(CostOptions(analysis.policy_), internal::GetMeans(from.at("cost")));
    const json& custom = from.at("custom");
    if (custom.size() != analysis.custom_.size()) return invalid("has other custom metrics than its policy");
    for (std::size_t i = 0; i < custom.size(); ++i) {
      analysis.custom_[i] =
          MeanShiftTest(CustomOptions(analysis.policy_.custom[i]), internal::GetMeans(custom[i]));
    }
    analysis.error_limit_ = CeilingTest({}, analysis.policy_.max_error_rate.value_or(kNoLimit),
                                        internal::GetCeiling(from.at("error_limit")));
    analysis.p99_limit_ = CeilingTest({}, kP99Share, internal::GetCeiling(from.at("p99_limit")));
    if (from.contains("likeness_limit")) {  // States of earlier versions have none.
      analysis.likeness_limit_ =
          CeilingTest({}, kUnlikeShare, internal::GetCeiling(from.at("likeness_limit")));
    }
    SampleRatioTest::State ratio = internal::GetRatio(from.at("ratio"));
    if (ratio.shares.size() != ratio.counts.size()) return invalid("has shares without counts");
    analysis.ratio_ = SampleRatioTest(std::move(ratio));
    const json& last = from.at("last");
    const std::array<OutcomeSummary*, 3> arms = {&analysis.last_.canary, &analysis.last_.baseline,
                                                 &analysis.last_.stable};
    for (std::size_t i = 0; i < arms.size(); ++i) {
      MEZZO_TRY(const std::string bytes, Base64Decode(last.at(i).get<std::string>()));
      MEZZO_TRY(*arms[i], OutcomeSummary::Parse(bytes));
    }
    const json& shares = from.at("shares");
    analysis.shares_ = {.canary = shares.at(0), .baseline = shares.at(1), .stable = shares.at(2)};
    analysis.mixed_ = from.at("mixed");
    analysis.step_canary_ = from.at("step").at(0);
    analysis.step_baseline_ = from.at("step").at(1);
  } catch (const json::exception& e) {
    return invalid(std::string("is not what was written: ") + Printable(e.what(), 200));
  }
  return analysis;
}

void Analysis::BeginStep(const Shares& shares) {
  mixed_ = Judged(last_.canary) > 0;
  for (TwoProportionTest* test : {&errors_, &p50_, &p99_}) test->DropWaiting();
  cost_.DropWaiting();
  for (MeanShiftTest& test : custom_) test.DropWaiting();
  shares_ = shares;
  step_canary_ = Judged(last_.canary);
  step_baseline_ = Judged(Fresh(last_));
  std::vector<double> expected;
  for (const double share : {shares.canary, shares.baseline, shares.stable}) {
    if (share > 0) expected.push_back(share);
  }
  if (!expected.empty()) ratio_.Expect(expected);
}

void Analysis::Acknowledge() {
  SampleRatioTest fresh;
  if (!ratio_.state().shares.empty()) fresh.Expect(ratio_.state().shares);
  ratio_ = std::move(fresh);
  error_limit_ = CeilingTest({}, policy_.max_error_rate.value_or(kNoLimit));
  p99_limit_ = CeilingTest({}, kP99Share);
  likeness_limit_ = CeilingTest({}, kUnlikeShare);
}

const OutcomeSummary& Analysis::Fresh(const ArmTotals& totals) const {
  return shares_.baseline > 0 ? totals.baseline : totals.stable;
}

Result<Verdict> Analysis::Look(const ArmTotals& totals, const StepProgress& step) {
  ArmTotals batch;
  MEZZO_TRY(batch.canary, totals.canary.Since(last_.canary));
  MEZZO_TRY(batch.baseline, totals.baseline.Since(last_.baseline));
  MEZZO_TRY(batch.stable, totals.stable.Since(last_.stable));
  if (!mixed_ && (shares_.baseline > 0 || shares_.stable > 0)) Compare(batch);
  Guard(batch);
  // The step's minimum counts what could be compared.
  if (mixed_) {
    step_canary_ = Judged(totals.canary);
    step_baseline_ = Judged(Fresh(totals));
    mixed_ = step.elapsed < kSwitchTime;
  }
  last_ = totals;
  Verdict verdict;
  verdict.evidence = Describe();
  Decide(step, verdict);
  return verdict;
}

void Analysis::Compare(const ArmTotals& batch) {
  ArmCount stable = Errors(batch.stable);
  stable += Errors(batch.baseline);
  errors_.Add(Errors(batch.canary), stable);
  CompareLatency(p50_, 0.5, kEnoughForMedian, batch);
  CompareLatency(p99_, 1 - kP99Share, kEnoughForP99, batch);
  const OutcomeSummary& fresh = Fresh(batch);
  cost_.Add(batch.canary.cost, fresh.cost);
  for (std::size_t i = 0; i < custom_.size(); ++i) custom_[i].Add(batch.canary.custom[i], fresh.custom[i]);
  std::vector<std::uint64_t> counts;
  // With those from the cache: which calls are in it is not the split's doing.
  const auto drawn = [](const OutcomeSummary& arm) { return Judged(arm) + arm.kept; };
  if (shares_.canary > 0) counts.push_back(drawn(batch.canary));
  if (shares_.baseline > 0) counts.push_back(drawn(batch.baseline));
  if (shares_.stable > 0) counts.push_back(drawn(batch.stable));
  if (policy_.check_sample_ratio && counts.size() > 1) ratio_.Add(counts);
}

void Analysis::CompareLatency(TwoProportionTest& test, double share, std::uint64_t enough,
                              const ArmTotals& batch) {
  // Known before the batch: whatever it is, the arms are compared at the same place of one distribution.
  LatencyHistogram known = last_.baseline.latency;
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) known[i] += last_.stable.latency[i];
  if (known.total() < enough) return;
  const std::size_t bucket = std::min(known.QuantileBucket(share) + 1, LatencyHistogram::kBuckets - 1);
  const double edge = Seconds(LatencyHistogram::LowerEdge(bucket));
  const std::size_t tolerated = BucketFrom(FromSeconds(edge * (1 + policy_.tolerated_slowdown)));
  test.Add(Beyond(batch.canary, tolerated), Beyond(Fresh(batch), bucket));
}

void Analysis::Guard(const ArmTotals& batch) {
  if (policy_.max_error_rate) error_limit_.Add(Errors(batch.canary));
  if (policy_.p99_objective) p99_limit_.Add(Beyond(batch.canary, BucketFrom(*policy_.p99_objective)));
  if (policy_.min_likeness) likeness_limit_.Add(Unlike(batch.canary, *policy_.min_likeness));
}

std::vector<MetricEvidence> Analysis::Describe() const {
  std::vector<MetricEvidence> all;
  const double level = policy_.alpha_per_set;
  const OutcomeSummary& fresh = Fresh(last_);
  ArmCount stable = Errors(last_.stable);
  stable += Errors(last_.baseline);
  all.push_back(DescribeRates(Errors(last_.canary), stable, errors_.evidence(), level));
  all.push_back(DescribeLatency("p50", 0.5, last_.canary.latency, fresh.latency, p50_.evidence(), level / 2));
  all.push_back(
      DescribeLatency("p99", 1 - kP99Share, last_.canary.latency, fresh.latency, p99_.evidence(), level / 2));
  all.push_back(DescribeMeans("cost", last_.canary.cost, fresh.cost, cost_.evidence(), level));
  for (std::size_t i = 0; i < custom_.size(); ++i) {
    all.push_back(DescribeMeans("custom:" + policy_.custom[i].name, last_.canary.custom[i], fresh.custom[i],
                                custom_[i].evidence(), level / static_cast<double>(custom_.size())));
  }
  const double guards =
      (policy_.max_error_rate ? 1 : 0) + (policy_.p99_objective ? 1 : 0) + (policy_.min_likeness ? 1 : 0);
  if (policy_.max_error_rate) {
    all.push_back(DescribeLimit("max_error_rate", error_limit_.state().seen, *policy_.max_error_rate,
                                "failed", error_limit_.evidence(), level / guards));
  }
  if (policy_.p99_objective) {
    const std::string slow = fmt::format("took {:.4g} ms or longer", 1000 * Seconds(*policy_.p99_objective));
    all.push_back(DescribeLimit("p99_objective", p99_limit_.state().seen, kP99Share, slow,
                                p99_limit_.evidence(), level / guards));
  }
  if (policy_.min_likeness) {
    const std::string unlike = fmt::format("made a picture with an SSIM below {:.2g}", *policy_.min_likeness);
    all.push_back(DescribeLimit("min_likeness", likeness_limit_.state().seen, kUnlikeShare, unlike,
                                likeness_limit_.evidence(), level / guards));
  }
  if (policy_.check_sample_ratio) {
    const std::uint64_t drawn = Judged(last_.canary) + last_.canary.kept;
    const std::uint64_t others = stable.calls + last_.stable.kept + last_.baseline.kept;
    const double canary = static_cast<double>(drawn);
    const double calls = canary + static_cast<double>(others);
    const double shares = shares_.canary + shares_.baseline + shares_.stable;
    MetricEvidence metric{.metric = "sample_ratio"};
    Conclude(ratio_.evidence(), policy_.alpha_sample_ratio, metric);
    metric.canary = calls == 0 ? 0 : canary / calls;
    metric.baseline = shares == 0 ? 0 : shares_.canary / shares;
    metric.canary_interval = {.low = metric.canary, .high = metric.canary};
    metric.baseline_interval = {.low = metric.baseline, .high = metric.baseline};
    metric.canary_samples = drawn;
    metric.baseline_samples = others;
    metric.sentence = fmt::format("{}.", Verb(metric, "calls do not arrive in the proportions of the split",
                                              "calls arrive in the proportions of the split"));
    all.push_back(std::move(metric));
  }
  return all;
}

void Analysis::Decide(const StepProgress& step, Verdict& verdict) const {
  const std::uint64_t baseline_calls = Judged(Fresh(last_)) - step_baseline_;
  const bool comparable = shares_.baseline > 0 || shares_.stable > 0;
  verdict.step_calls = Judged(last_.canary) - step_canary_;
  const auto say = [&](Action action, std::string reason) {
    verdict.action = action;
    verdict.reason = std::move(reason);
  };

  ArmCount stable = Errors(last_.stable);
  stable += Errors(last_.baseline);
  for (const MetricEvidence& metric : verdict.evidence) {
    if (!metric.crossed || metric.metric == "sample_ratio") continue;
    bool shared = false;  // The stable version breaks the limit as well: going back to it would not help.
    if (metric.metric == "max_error_rate") shared = stable.calls > 0 && stable.rate() > metric.baseline;
    if (metric.metric == "p99_objective") {
      ArmCount slow = Beyond(last_.stable, BucketFrom(*policy_.p99_objective));
      slow += Beyond(last_.baseline, BucketFrom(*policy_.p99_objective));
      shared = slow.calls > 0 && slow.rate() > kP99Share;
    }
    if (!shared) return say(Action::kRollBack, metric.metric + ": " + metric.sentence);
    say(Action::kPause, metric.metric + ": the stable version breaks the limit, too. " + metric.sentence);
  }
  if (verdict.action == Action::kPause) return;
  for (const MetricEvidence& metric : verdict.evidence) {
    if (metric.metric == "sample_ratio" && metric.crossed) {
      return say(Action::kPause, "sample_ratio: " + metric.sentence);
    }
  }

  const bool over = step.elapsed >= step.max_duration;
  if (verdict.step_calls < step.min_calls || (comparable && baseline_calls < step.min_calls)) {
    verdict.insufficient = true;
    std::string reason = fmt::format(
        "Too little traffic to judge: {} calls of the canary and {} of the baseline in {:.0f} s, "
        "where {} of each are needed.",
        verdict.step_calls, baseline_calls, Seconds(step.elapsed), step.min_calls);
    return say(over ? Action::kPause : Action::kHold, std::move(reason));
  }
  if (step.elapsed < step.min_duration) {
    return say(Action::kHold, fmt::format("The step lasts {:.0f} s at least.", Seconds(step.min_duration)));
  }
  for (const MetricEvidence& metric : verdict.evidence) {
    if (metric.metric == "sample_ratio" || metric.p_now >= policy_.doubt) continue;
    return say(over ? Action::kPause : Action::kHold,
               fmt::format("{} is in doubt (p now {:.2g} < {:.2g}): {}", metric.metric, metric.p_now,
                           policy_.doubt, metric.sentence));
  }
  say(Action::kPromote, fmt::format("{} calls of the canary in {:.0f} s, and no test found it worse.",
                                    verdict.step_calls, Seconds(step.elapsed)));
}

std::string Verdict::ToJson() const {
  json out = {{"action", ActionName(action)},
              {"insufficient", insufficient},
              {"reason", reason},
              {"step_calls", step_calls},
              {"evidence", json::array()}};
  const auto bounds = [](const Interval& interval) {
    const auto bound = [](double value) { return std::isfinite(value) ? json(value) : json(nullptr); };
    return json::array({bound(interval.low), bound(interval.high)});
  };
  for (const MetricEvidence& metric : evidence) {
    out["evidence"].push_back({{"metric", metric.metric},
                               {"canary", metric.canary},
                               {"baseline", metric.baseline},
                               {"canary_interval", bounds(metric.canary_interval)},
                               {"baseline_interval", bounds(metric.baseline_interval)},
                               {"canary_samples", metric.canary_samples},
                               {"baseline_samples", metric.baseline_samples},
                               {"p_value", metric.p_value},
                               {"p_now", metric.p_now},
                               {"threshold", metric.threshold},
                               {"crossed", metric.crossed},
                               {"sentence", metric.sentence}});
  }
  return out.dump();
}

}  // namespace mezzo::releases
