#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/releases/release.h"

namespace mezzo::releases {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxText = std::size_t{64} << 10;

Error BadSpec(std::string message) { return InvalidArgument("release_spec", std::move(message)); }

/// Reads members of one JSON object and says of a wrong one which it is.
class Members {
 public:
  /// `names`: all that there may be.
  static Result<Members> Of(const json& object, std::string where, std::initializer_list<const char*> names) {
    if (!object.is_object()) return BadSpec(where + " must be a JSON object");
    for (const auto& [name, value] : object.items()) {
      if (std::none_of(names.begin(), names.end(), [&](const char* known) { return name == known; })) {
        return BadSpec(fmt::format("{} has an unknown member '{}'", where, Printable(name, 64)));
      }
    }
    return Members(object, std::move(where));
  }

  Result<void> Text(const char* name, std::string& into) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return {};
    if (!found->is_string()) return Wrong(name, "a string");
    into = found->get<std::string>();
    return {};
  }
  Result<void> Flag(const char* name, bool& into) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return {};
    if (!found->is_boolean()) return Wrong(name, "true or false");
    into = found->get<bool>();
    return {};
  }
  Result<void> Number(const char* name, double& into) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return {};
    if (!found->is_number()) return Wrong(name, "a number");
    into = found->get<double>();
    return {};
  }
  /// Null turns it off.
  Result<void> Number(const char* name, std::optional<double>& into) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return {};
    if (found->is_null()) {
      into.reset();
      return {};
    }
    if (!found->is_number()) return Wrong(name, "a number or null");
    into = found->get<double>();
    return {};
  }
  template <typename Count>
  Result<void> Whole(const char* name, Count& into) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return {};
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > 4'000'000'000U) {
      return Wrong(name, "a whole number from 0 to 4000000000");
    }
    into = static_cast<Count>(found->get<std::uint64_t>());
    return {};
  }
  Result<void> Time(const char* name, Duration& into) const {
    double seconds = Seconds(into);
    MEZZO_TRY_VOID(Number(name, seconds));
    into = FromSeconds(seconds);
    return {};
  }
  /// Null when there is none.
  Result<const json*> Array(const char* name, std::size_t limit) const {
    const auto found = object_->find(name);
    if (found == object_->end()) return static_cast<const json*>(nullptr);
    if (!found->is_array()) return Wrong(name, "an array");
    if (found->size() > limit) {
      return BadSpec(
          fmt::format("'{}' of {} has {} entries; the limit is {}", name, where_, found->size(), limit));
    }
    return &*found;
  }
  [[nodiscard]] const json* Find(const char* name) const {
    const auto found = object_->find(name);
    return found == object_->end() ? nullptr : &*found;
  }
  [[nodiscard]] Error Wrong(const char* name, std::string_view what) const {
    return BadSpec(fmt::format("'{}' of {} must be {}", name, where_, what));
  }

 private:
  Members(const json& object, std::string where) : object_(&object), where_(std::move(where)) {}
  const json* object_;
  std::string where_;
};

Result<ReleaseStep> ReadStep(const json& from) {
  MEZZO_TRY(const Members members, Members::Of(from, "a step", {"weight", "min_duration_s", "min_calls"}));
  ReleaseStep step;
  MEZZO_TRY_VOID(members.Whole("weight", step.weight));
  MEZZO_TRY_VOID(members.Time("min_duration_s", step.min_duration));
  MEZZO_TRY_VOID(members.Whole("min_calls", step.min_calls));
  return step;
}

Result<ExperimentArm> ReadArm(const json& from) {
  MEZZO_TRY(const Members members, Members::Of(from, "an arm", {"name", "version", "weight"}));
  ExperimentArm arm;
  MEZZO_TRY_VOID(members.Text("name", arm.name));
  MEZZO_TRY_VOID(members.Text("version", arm.version));
  MEZZO_TRY_VOID(members.Whole("weight", arm.weight));
  return arm;
}

Result<CustomMetric> ReadCustom(const json& from) {
  MEZZO_TRY(const Members members,
            Members::Of(from, "a custom metric", {"name", "less_is_worse", "tolerance", "range"}));
  CustomMetric metric;
  MEZZO_TRY_VOID(members.Text("name", metric.name));
  MEZZO_TRY_VOID(members.Flag("less_is_worse", metric.less_is_worse));
  MEZZO_TRY_VOID(members.Number("tolerance", metric.tolerance));
  if (const json* range = members.Find("range"); range != nullptr && !range->is_null()) {
    if (!range->is_array() || range->size() != 2 || !range->at(0).is_number() || !range->at(1).is_number()) {
      return members.Wrong("range", "two numbers");
    }
    metric.range = Interval{.low = range->at(0).get<double>(), .high = range->at(1).get<double>()};
  }
  return metric;
}

Result<AnalysisPolicy> ReadPolicy(const json& from) {
  MEZZO_TRY(const Members members,
            Members::Of(from, "analysis",
                        {"alpha", "alpha_per_set", "alpha_sample_ratio", "tolerated_error_odds",
                         "tolerated_slowdown", "tolerated_cost", "custom", "max_error_rate",
                         "p99_objective_s", "min_likeness", "check_sample_ratio", "doubt"}));
  AnalysisPolicy policy;
  MEZZO_TRY_VOID(members.Number("alpha", policy.alpha));
  MEZZO_TRY_VOID(members.Number("alpha_per_set", policy.alpha_per_set));
  MEZZO_TRY_VOID(members.Number("alpha_sample_ratio", policy.alpha_sample_ratio));
  MEZZO_TRY_VOID(members.Number("tolerated_error_odds", policy.tolerated_error_odds));
  MEZZO_TRY_VOID(members.Number("tolerated_slowdown", policy.tolerated_slowdown));
  MEZZO_TRY_VOID(members.Number("tolerated_cost", policy.tolerated_cost));
  MEZZO_TRY_VOID(members.Number("max_error_rate", policy.max_error_rate));
  std::optional<double> objective;
  MEZZO_TRY_VOID(members.Number("p99_objective_s", objective));
  if (objective) policy.p99_objective = FromSeconds(*objective);
  MEZZO_TRY_VOID(members.Number("min_likeness", policy.min_likeness));
  MEZZO_TRY_VOID(members.Flag("check_sample_ratio", policy.check_sample_ratio));
  MEZZO_TRY_VOID(members.Number("doubt", policy.doubt));
  MEZZO_TRY(const json* custom, members.Array("custom", kCustomMetrics));
  for (std::size_t i = 0; custom != nullptr && i < custom->size(); ++i) {
    MEZZO_TRY(CustomMetric metric, ReadCustom(custom->at(i)));
    policy.custom.push_back(std::move(metric));
  }
  return policy;
}

json PolicyJson(const AnalysisPolicy& policy) {
  json custom = json::array();
  for (const CustomMetric& metric : policy.custom) {
    custom.push_back(
        {{"name", metric.name},
         {"less_is_worse", metric.less_is_worse},
         {"tolerance", metric.tolerance},
         {"range", metric.range ? json::array({metric.range->low, metric.range->high}) : json()}});
  }
  return {{"alpha", policy.alpha},
          {"alpha_per_set", policy.alpha_per_set},
          {"alpha_sample_ratio", policy.alpha_sample_ratio},
          {"tolerated_error_odds", policy.tolerated_error_odds},
          {"tolerated_slowdown", policy.tolerated_slowdown},
          {"tolerated_cost", policy.tolerated_cost},
          {"custom", std::move(custom)},
          {"max_error_rate", policy.max_error_rate ? json(*policy.max_error_rate) : json()},
          {"min_likeness", policy.min_likeness ? json(*policy.min_likeness) : json()},
          {"p99_objective_s", policy.p99_objective ? json(Seconds(*policy.p99_objective)) : json()},
          {"check_sample_ratio", policy.check_sample_ratio},
          {"doubt", policy.doubt}};
}

json SpecJson(const ReleaseSpec& spec) {
  json steps = json::array();
  for (const ReleaseStep& step : spec.steps) {
    steps.push_back({{"weight", step.weight},
                     {"min_duration_s", Seconds(step.min_duration)},
                     {"min_calls", step.min_calls}});
  }
  json arms = json::array();
  for (const ExperimentArm& arm : spec.arms) {
    arms.push_back({{"name", arm.name}, {"version", arm.version}, {"weight", arm.weight}});
  }
  json out = {{"model", spec.model},
              {"strategy", StrategyName(spec.strategy)},
              {"stable", spec.stable},
              {"steps", std::move(steps)},
              {"sticky", spec.sticky},
              {"shadow_share", spec.shadow_share},
              {"shadow_max_in_flight", spec.shadow_max_in_flight},
              {"automatic", spec.automatic},
              {"prepare_limit_s", Seconds(spec.prepare_limit)},
              {"step_limit_s", Seconds(spec.step_limit)},
              {"settle_s", Seconds(spec.settle)},
              {"analysis", PolicyJson(spec.policy)}};
  if (!spec.candidate.empty()) out["candidate"] = spec.candidate;
  if (!spec.arms.empty()) out["arms"] = std::move(arms);
  return out;
}

Result<ReleaseSpec> ReadSpec(const json& from) {
  MEZZO_TRY(const Members members, Members::Of(from, "a release",
                                               {"model", "strategy", "stable", "candidate", "steps", "arms",
                                                "sticky", "shadow_share", "shadow_max_in_flight", "automatic",
                                                "prepare_limit_s", "step_limit_s", "settle_s", "analysis"}));
  ReleaseSpec spec;
  MEZZO_TRY_VOID(members.Text("model", spec.model));
  std::string strategy(StrategyName(spec.strategy));
  MEZZO_TRY_VOID(members.Text("strategy", strategy));
  bool known = false;
  for (const Strategy each : {Strategy::kCanary, Strategy::kBlueGreen, Strategy::kShadow, Strategy::kAb}) {
    if (strategy != StrategyName(each)) continue;
    spec.strategy = each;
    known = true;
  }
  if (!known) return members.Wrong("strategy", "'canary', 'blue_green', 'shadow' or 'ab'");
  if (spec.strategy == Strategy::kAb) spec.step_limit = std::chrono::hours(24 * 14);
  MEZZO_TRY_VOID(members.Text("stable", spec.stable));
  MEZZO_TRY_VOID(members.Text("candidate", spec.candidate));
  MEZZO_TRY_VOID(members.Text("sticky", spec.sticky));
  MEZZO_TRY_VOID(members.Whole("shadow_share", spec.shadow_share));
  MEZZO_TRY_VOID(members.Whole("shadow_max_in_flight", spec.shadow_max_in_flight));
  MEZZO_TRY_VOID(members.Flag("automatic", spec.automatic));
  MEZZO_TRY_VOID(members.Time("prepare_limit_s", spec.prepare_limit));
  MEZZO_TRY_VOID(members.Time("step_limit_s", spec.step_limit));
  MEZZO_TRY_VOID(members.Time("settle_s", spec.settle));
  MEZZO_TRY(const json* steps, members.Array("steps", 64));
  if (steps != nullptr) spec.steps.clear();
  for (std::size_t i = 0; steps != nullptr && i < steps->size(); ++i) {
    MEZZO_TRY(const ReleaseStep step, ReadStep(steps->at(i)));
    spec.steps.push_back(step);
  }
  MEZZO_TRY(const json* arms, members.Array("arms", 64));
  for (std::size_t i = 0; arms != nullptr && i < arms->size(); ++i) {
    MEZZO_TRY(ExperimentArm arm, ReadArm(arms->at(i)));
    spec.arms.push_back(std::move(arm));
  }
  if (const json* analysis = members.Find("analysis")) {
    MEZZO_TRY(spec.policy, ReadPolicy(*analysis));
  }
  // Calls of one key come in bunches, which the split's shares do not foresee.
  if (spec.sticky != "none") spec.policy.check_sample_ratio = false;
  MEZZO_TRY_VOID(spec.Check());
  return spec;
}

Result<json> ParseText(std::string_view text) {
  if (text.size() > kMaxText) {
    return BadSpec(fmt::format("a release has {} bytes; the limit is {}", text.size(), kMaxText));
  }
  json parsed = json::parse(text, nullptr, false);
  if (parsed.is_discarded()) return BadSpec("a release must be JSON");
  return parsed;
}

std::int64_t Nanos(WallTime time) { return time.time_since_epoch().count(); }
WallTime FromNanos(std::int64_t nanos) { return WallTime(Duration(nanos)); }

}  // namespace

Result<ReleaseSpec> ReleaseSpec::FromJson(std::string_view text) {
  MEZZO_TRY(const json parsed, ParseText(text));
  return ReadSpec(parsed);
}

std::string ReleaseSpec::ToJson() const { return SpecJson(*this).dump(); }

std::string Release::ToJson() const {
  return json{{"id", id},
              {"spec", SpecJson(spec)},
              {"state", StateName(state)},
              {"step", step},
              {"state_since", Nanos(state_since)},
              {"step_since", Nanos(step_since)},
              {"step_spent", step_spent.count()},
              {"touched", touched},
              {"route_pending", route_pending},
              {"route_revision", route_revision},
              {"first_route_revision", first_route_revision},
              {"winner", winner},
              {"reason", reason}}
      .dump();
}

Result<Release> Release::FromJson(std::string_view text) {
  const auto invalid = [](std::string_view why) {
    return InvalidArgument("release_invalid", "a release that was kept can't be read: " + std::string(why));
  };
  Release release;
  try {  // The library's way to say that a member is missing or of another type.
    const json from = json::parse(text);
    MEZZO_TRY(release.spec, ReadSpec(from.at("spec")));
    release.id = from.at("id").get<std::string>();
    const auto state = from.at("state").get<std::string>();
    bool known = false;
    for (int i = 0; i <= static_cast<int>(ReleaseState::kCancelled); ++i) {
      if (state != StateName(static_cast<ReleaseState>(i))) continue;
      release.state = static_cast<ReleaseState>(i);
      known = true;
    }
    if (!known) return invalid("its state is unknown");
    release.step = from.at("step");
    if (release.step >= release.spec.steps.size()) return invalid("it has no such step");
    release.state_since = FromNanos(from.at("state_since"));
    release.step_since = FromNanos(from.at("step_since"));
    release.step_spent = Duration(from.at("step_spent").get<std::int64_t>());
    release.touched = from.at("touched");
    release.route_pending = from.at("route_pending");
    release.route_revision = from.at("route_revision");
    release.first_route_revision = from.value("first_route_revision", std::int64_t{0});
    release.winner = from.at("winner").get<std::string>();
    release.reason = from.at("reason").get<std::string>();
  } catch (const json::exception& e) {
    return invalid(Printable(e.what(), 200));
  }
  return release;
}

}  // namespace mezzo::releases
