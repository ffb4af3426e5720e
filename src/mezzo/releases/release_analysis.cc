#include "mezzo/releases/release_analysis.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace mezzo::releases {
namespace {

using nlohmann::json;

std::size_t Treatments(const ReleaseSpec& spec) {
  return spec.strategy == Strategy::kAb ? spec.arms.size() - 1 : 1;
}

AnalysisPolicy PolicyOf(const ReleaseSpec& spec) {
  AnalysisPolicy policy = spec.policy;
  policy.alpha_per_set /= static_cast<double>(Treatments(spec));
  policy.alpha_sample_ratio /= static_cast<double>(Treatments(spec));
  if (spec.strategy == Strategy::kShadow) policy.check_sample_ratio = false;  // Copies, not a split.
  return policy;
}

/// Totals only grow, whatever names the split has used so far: a promoted arm goes on as "canary".
ArmTotals TotalsOf(const ReleaseSpec& spec, std::size_t treatment, const ArmSummaries& arms) {
  const auto sum = [&](std::initializer_list<std::string_view> names) {
    OutcomeSummary total;
    for (const std::string_view name : names) {
      if (const auto found = arms.find(name); found != arms.end()) total += found->second;
    }
    return total;
  };
  switch (spec.strategy) {
    case Strategy::kShadow:
      return {.canary = sum({kShadowArm, "canary"}), .baseline = {}, .stable = sum({"stable"})};
    case Strategy::kAb: {
      const std::string& control = spec.arms.front().name;
      const std::string& arm = spec.arms.at(treatment).name;
      // An arm may itself have been named "canary".
      const bool named = std::any_of(spec.arms.begin(), spec.arms.end(),
                                     [](const ExperimentArm& each) { return each.name == "canary"; });
      return {.canary = named ? sum({arm}) : sum({arm, "canary"}), .baseline = sum({control}), .stable = {}};
    }
    case Strategy::kCanary:
    case Strategy::kBlueGreen:
      break;
  }
  return {.canary = sum({"canary"}), .baseline = sum({"baseline"}), .stable = sum({"stable"})};
}

int Strictness(Action action) {
  switch (action) {
    case Action::kRollBack:
      return 3;
    case Action::kPause:
      return 2;
    case Action::kHold:
      return 1;
    case Action::kPromote:
      return 0;
  }
  return 0;
}

}  // namespace

Result<ReleaseAnalysis> ReleaseAnalysis::Of(const Release& release, std::string_view state) {
  ReleaseAnalysis all;
  const AnalysisPolicy policy = PolicyOf(release.spec);
  const std::size_t count = Treatments(release.spec);
  if (state.empty()) {
    for (std::size_t i = 0; i < count; ++i) all.analyses_.emplace_back(policy);
    return all;
  }
  const json parsed = json::parse(state, nullptr, false);
  if (!parsed.is_array() || parsed.size() != count) {
    return InvalidArgument("release_analysis_invalid",
                           "the state of a release's analyses is not what was written");
  }
  for (const json& each : parsed) {
    MEZZO_TRY(Analysis analysis, Analysis::Resume(policy, each.dump()));
    all.analyses_.push_back(std::move(analysis));
  }
  return all;
}

std::string ReleaseAnalysis::State() const {
  std::string text = "[";
  for (const Analysis& analysis : analyses_) {
    if (text.size() > 1) text += ',';
    text += analysis.State();
  }
  return text + "]";
}

void ReleaseAnalysis::Follow(const Release& release, bool step_began, bool acknowledged) {
  for (std::size_t i = 0; i < analyses_.size(); ++i) {
    if (acknowledged) analyses_[i].Acknowledge();
    if (step_began) analyses_[i].BeginStep(SplitShares(release, i + 1));
  }
}

Result<Verdict> ReleaseAnalysis::Look(const Release& release, const ArmSummaries& totals, WallTime now) {
  const StepProgress progress = Progress(release, now);
  Verdict strictest;
  std::vector<MetricEvidence> evidence;
  for (std::size_t i = 0; i < analyses_.size(); ++i) {
    MEZZO_TRY(Verdict verdict, analyses_[i].Look(TotalsOf(release.spec, i + 1, totals), progress));
    const std::string arm = analyses_.size() == 1 ? std::string() : release.spec.arms[i + 1].name;
    for (MetricEvidence& metric : verdict.evidence) {
      if (!arm.empty()) metric.metric = arm + "/" + metric.metric;
      evidence.push_back(std::move(metric));
    }
    if (!arm.empty()) verdict.reason = "Arm '" + arm + "': " + verdict.reason;
    if (i == 0 || Strictness(verdict.action) > Strictness(strictest.action)) {
      strictest = std::move(verdict);
    }
  }
  strictest.evidence = std::move(evidence);
  return strictest;
}

}  // namespace mezzo::releases
