#include "mezzo/releases/release.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::releases {
namespace {

using nlohmann::json;

constexpr std::uint32_t kWhole = 10'000;
constexpr std::size_t kMaxSteps = 20;
constexpr std::size_t kMaxExperimentArms = 8;
constexpr std::size_t kMaxStickyBytes = 64 + 7;
constexpr Duration kLongest = std::chrono::hours(24 * 90);

Error BadSpec(std::string message) { return InvalidArgument("release_spec", std::move(message)); }

Result<void> CheckVersion(std::string_view what, std::string_view version) {
  const auto number = ParseUint(version);
  if (number && *number > 0 && version.front() != '0' && version.size() <= 18) return {};
  return BadSpec(fmt::format("{} must be a version's number, not '{}'", what, Printable(version, 32)));
}
Result<void> CheckTime(std::string_view what, Duration time, bool zero) {
  if (time <= kLongest && (zero ? time >= Duration::zero() : time > Duration::zero())) return {};
  return BadSpec(fmt::format("{} must be {} and at most 90 days", what, zero ? "at least 0" : "positive"));
}
bool IsArmName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= 32 && !(name[0] >= '0' && name[0] <= '9') &&
         !name.starts_with("rule") && std::all_of(name.begin(), name.end(), fits);
}

Result<void> CheckSteps(const std::vector<ReleaseStep>& steps) {
  if (steps.empty() || steps.size() > kMaxSteps) return BadSpec("steps must be 1 to 20");
  std::uint32_t before = 0;
  for (const ReleaseStep& step : steps) {
    if (step.weight <= before || step.weight > kWhole) {
      return BadSpec("the weights of steps must grow from step to step, up to 10000");
    }
    before = step.weight;
    MEZZO_TRY_VOID(CheckTime("min_duration_s of a step", step.min_duration, true));
    if (step.min_calls < 1 || step.min_calls > 100'000'000) {
      return BadSpec("min_calls of a step must be 1 to 100000000");
    }
  }
  if (before != kWhole) return BadSpec("the last step's weight must be 10000");
  return {};
}

Result<void> CheckArms(const std::vector<ExperimentArm>& arms) {
  if (arms.size() < 2 || arms.size() > kMaxExperimentArms) return BadSpec("an experiment has 2 to 8 arms");
  std::uint64_t sum = 0;
  for (const ExperimentArm& arm : arms) {
    if (!IsArmName(arm.name)) {
      return BadSpec(
          "an arm's name is 1 to 32 of a-z, 0-9, '-' and '_', not beginning with a digit or 'rule'");
    }
    MEZZO_TRY_VOID(CheckVersion("the version of arm '" + arm.name + "'", arm.version));
    if (arm.weight < 1 || arm.weight > kWhole) return BadSpec("the weight of an arm must be 1 to 10000");
    sum += arm.weight;
    const auto same = [&](const ExperimentArm& other) { return other.name == arm.name; };
    if (std::count_if(arms.begin(), arms.end(), same) > 1) {
      return BadSpec("two arms have the name '" + arm.name + "'");
    }
  }
  if (sum != kWhole) return BadSpec(fmt::format("the weights of the arms sum to {}, not to 10000", sum));
  return {};
}

json SplitJson(const WantedRoute& wanted) {
  json arms = json::array();
  for (const WantedArm& arm : wanted.arms) {
    arms.push_back({{"name", arm.name}, {"version", arm.version}, {"weight", arm.weight}});
  }
  return {{"sticky", wanted.sticky}, {"salt", wanted.salt}, {"arms", std::move(arms)}};
}

Result<json> ParseCurrent(std::string_view current) {
  if (current.empty()) return json::object();
  json route = json::parse(current, nullptr, false);
  if (route.is_discarded() || !route.is_object()) {
    return InvalidArgument("release_route", "the model's route is no JSON object");
  }
  if (route.contains("shadows") && !route["shadows"].is_array()) {
    return InvalidArgument("release_route", "'shadows' of the model's route is no array");
  }
  return route;
}

/// Shadows of other versions, then the release's own.
json ShadowsJson(const json& route, const WantedRoute& wanted) {
  json shadows = json::array();
  if (route.contains("shadows")) {
    for (const json& shadow : route["shadows"]) {
      const bool ours = shadow.is_object() && !wanted.candidate.empty() &&
                        shadow.value("version", json()) == wanted.candidate;
      if (!ours) shadows.push_back(shadow);
    }
  }
  if (!wanted.shadow.empty()) {
    shadows.push_back({{"version", wanted.shadow},
                       {"share", wanted.shadow_share},
                       {"max_in_flight", wanted.shadow_max_in_flight}});
  }
  return shadows;
}

}  // namespace

std::string_view StateName(ReleaseState state) {
  switch (state) {
    case ReleaseState::kPreparing:
      return "preparing";
    case ReleaseState::kRunning:
      return "running";
    case ReleaseState::kPaused:
      return "paused";
    case ReleaseState::kPromoting:
      return "promoting";
    case ReleaseState::kSettling:
      return "settling";
    case ReleaseState::kSucceeded:
      return "succeeded";
    case ReleaseState::kRolledBack:
      return "rolled_back";
    case ReleaseState::kFailed:
      return "failed";
    case ReleaseState::kCancelled:
      return "cancelled";
  }
  return "failed";
}

std::string_view StrategyName(Strategy strategy) {
  switch (strategy) {
    case Strategy::kCanary:
      return "canary";
    case Strategy::kBlueGreen:
      return "blue_green";
    case Strategy::kShadow:
      return "shadow";
    case Strategy::kAb:
      return "ab";
  }
  return "canary";
}

Result<void> ReleaseSpec::Check() const {
  if (!IsSafeName(model)) return BadSpec("model must be a model's name");
  MEZZO_TRY_VOID(CheckVersion("stable", stable));
  if (strategy == Strategy::kAb) {
    if (!candidate.empty()) return BadSpec("an experiment has arms, no candidate");
    MEZZO_TRY_VOID(CheckArms(arms));
  } else {
    MEZZO_TRY_VOID(CheckVersion("candidate", candidate));
    if (candidate == stable) return BadSpec("candidate and stable are the same version");
    if (!arms.empty()) return BadSpec("only an experiment has arms");
  }
  MEZZO_TRY_VOID(CheckSteps(steps));
  const bool header = sticky.starts_with("header:") && sticky.size() > 7 && sticky.size() <= kMaxStickyBytes;
  if (sticky != "none" && sticky != "tenant" && !header) {
    return BadSpec("sticky must be 'none', 'tenant' or 'header:' and a header's name");
  }
  if (shadow_share < 1 || shadow_share > kWhole) return BadSpec("shadow_share must be 1 to 10000");
  if (shadow_max_in_flight < 1 || shadow_max_in_flight > 256) {
    return BadSpec("shadow_max_in_flight must be 1 to 256");
  }
  MEZZO_TRY_VOID(CheckTime("prepare_limit_s", prepare_limit, false));
  MEZZO_TRY_VOID(CheckTime("step_limit_s", step_limit, false));
  MEZZO_TRY_VOID(CheckTime("settle_s", settle, true));
  return policy.Check();
}

std::optional<WantedRoute> Wanted(const Release& release) {
  if (!release.touched) return std::nullopt;
  const ReleaseSpec& spec = release.spec;
  const std::string& promoted = spec.strategy == Strategy::kAb ? release.winner : spec.candidate;
  WantedRoute wanted{.arms = {},
                     .sticky = spec.sticky,
                     .salt = release.id,
                     .stable = spec.stable,
                     .shadow = "",
                     .shadow_share = 0,
                     .shadow_max_in_flight = 0,
                     .candidate = spec.candidate};
  const auto whole = [&](std::string name, const std::string& version) {
    wanted.arms = {{.name = std::move(name), .version = version, .weight = kWhole}};
  };
  switch (release.state) {
    case ReleaseState::kRunning:
    case ReleaseState::kPaused:
      break;
    case ReleaseState::kPromoting:
    case ReleaseState::kSettling:
      whole("canary", promoted);
      return wanted;  // Failures go to the old one.
    case ReleaseState::kSucceeded:
      if (spec.strategy == Strategy::kCanary || spec.strategy == Strategy::kBlueGreen ||
          !release.winner.empty()) {
        wanted.stable = promoted;
      }
      whole("stable", wanted.stable);
      return wanted;
    case ReleaseState::kPreparing:
    case ReleaseState::kRolledBack:
    case ReleaseState::kFailed:
    case ReleaseState::kCancelled:
      whole("stable", spec.stable);
      return wanted;
  }
  switch (spec.strategy) {
    case Strategy::kBlueGreen:
      whole("stable", spec.stable);
      break;
    case Strategy::kShadow:
      whole("stable", spec.stable);
      wanted.shadow = spec.candidate;
      wanted.shadow_share = spec.shadow_share;
      wanted.shadow_max_in_flight = spec.shadow_max_in_flight;
      break;
    case Strategy::kAb:
      for (const ExperimentArm& arm : spec.arms) {
        wanted.arms.push_back({.name = arm.name, .version = arm.version, .weight = arm.weight});
      }
      break;
    case Strategy::kCanary: {
      // The router lays the first at the low end, the second at the high end and "stable" between them.
      const std::uint32_t canary = spec.steps[release.step].weight;
      const std::uint32_t baseline = std::min(canary, kWhole - canary);
      wanted.arms = {{.name = "canary", .version = spec.candidate, .weight = canary},
                     {.name = "baseline", .version = spec.stable, .weight = baseline},
                     {.name = "stable", .version = spec.stable, .weight = kWhole - canary - baseline}};
      std::erase_if(wanted.arms, [](const WantedArm& arm) { return arm.weight == 0; });
      break;
    }
  }
  return wanted;
}

Shares SplitShares(const Release& release, std::size_t treatment) {
  const bool split = release.state == ReleaseState::kRunning || release.state == ReleaseState::kPaused;
  if (!split) return {.canary = 1, .baseline = 0, .stable = 0};
  switch (release.spec.strategy) {
    case Strategy::kBlueGreen:
      return {.canary = 1, .baseline = 0, .stable = 0};
    case Strategy::kShadow:
      return {.canary = 0, .baseline = 0, .stable = 1};
    case Strategy::kAb: {
      const auto& arms = release.spec.arms;
      return {
          .canary = arms[treatment].weight / 10'000.0, .baseline = arms[0].weight / 10'000.0, .stable = 0};
    }
    case Strategy::kCanary:
      break;
  }
  const std::uint32_t canary = release.spec.steps[release.step].weight;
  const std::uint32_t baseline = std::min(canary, kWhole - canary);
  return {.canary = canary / 10'000.0,
          .baseline = baseline / 10'000.0,
          .stable = (kWhole - canary - baseline) / 10'000.0};
}

Result<std::string> ApplyRoute(std::string_view current, const WantedRoute& wanted) {
  MEZZO_TRY(json route, ParseCurrent(current));
  route["split"] = SplitJson(wanted);
  json shadows = ShadowsJson(route, wanted);
  if (shadows.empty()) {
    route.erase("shadows");
  } else {
    route["shadows"] = std::move(shadows);
  }
  route["stable"] = wanted.stable;
  return route.dump();
}

Result<bool> RouteAgrees(std::string_view current, const WantedRoute& wanted) {
  if (current.empty()) return false;
  MEZZO_TRY(const json route, ParseCurrent(current));
  MEZZO_TRY(const std::string applied, ApplyRoute(current, wanted));
  json now = route;
  if (now.contains("shadows") && now["shadows"].empty()) now.erase("shadows");
  // The route's own text may leave out what is its default.
  if (now.contains("split") && now["split"].is_object() && !now["split"].contains("sticky")) {
    now["split"]["sticky"] = "none";
  }
  return json::parse(applied) == now;
}

}  // namespace mezzo::releases
