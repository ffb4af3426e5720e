#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/analysis.h"

namespace mezzo::releases {

enum class Strategy : std::uint8_t {
  kCanary,     ///< By steps to the whole, each judged against the stable version.
  kBlueGreen,  ///< All at once; the old version stays warm.
  kShadow,     ///< Copies of calls; the answers are compared and never returned.
  kAb,         ///< Arms of fixed weights; no winner by itself.
};

struct ReleaseStep {
  std::uint32_t weight = 0;  ///< 1/10,000 of the calls; grows from step to step, the last one is 10,000.
  Duration min_duration = std::chrono::minutes(1);
  std::uint64_t min_calls = 100;  ///< Of the canary and of what it is compared with.
};

struct ExperimentArm {
  std::string name;
  std::string version;
  std::uint32_t weight = 0;
};

/// What somebody declared. Versions are numbers as text.
struct ReleaseSpec {
  std::string model;
  Strategy strategy = Strategy::kCanary;
  std::string stable;     ///< What serves now.
  std::string candidate;  ///< Not of kAb.
  std::vector<ReleaseStep> steps = {{.weight = 500}, {.weight = 2500}, {.weight = 5000}, {.weight = 10'000}};
  std::vector<ExperimentArm> arms;  ///< Of kAb: 2 to 8; the first is what the others are compared with.
  std::string sticky = "none";      ///< "none", "tenant" or "header:" and a name.
  std::uint32_t shadow_share = 1000;
  std::uint32_t shadow_max_in_flight = 4;
  bool automatic = true;  ///< Moves on by itself; otherwise each step waits for "promote".
  Duration prepare_limit = std::chrono::minutes(10);  ///< To load and warm up on all hosts.
  Duration step_limit = std::chrono::hours(1);  ///< Then an unjudged step pauses; the whole life of kAb.
  Duration settle = std::chrono::minutes(10);   ///< The old version stays warm for so long.
  AnalysisPolicy policy;

  /// Fails with kInvalidArgument "release_spec" or "release_policy", naming what is wrong.
  [[nodiscard]] Result<void> Check() const;
  /// Of a JSON object; members that are not given keep their defaults, unknown ones are refused. Durations
  /// are seconds: "step_limit_s". Fails with kInvalidArgument "release_spec" or "release_policy".
  static Result<ReleaseSpec> FromJson(std::string_view text);
  [[nodiscard]] std::string ToJson() const;
};

enum class ReleaseState : std::uint8_t {
  kPreparing,  ///< The version is loaded and warmed up on all hosts; the route is untouched.
  kRunning,    ///< A step, a shadow or an experiment.
  kPaused,     ///< As running, but nothing moves on by itself. It can still be rolled back by the analysis.
  kPromoting,  ///< All calls are moved to the candidate.
  kSettling,   ///< They are; the old version stays warm and answers what the new one fails.
  kSucceeded,
  kRolledBack,
  kFailed,  ///< Before it had any call.
  kCancelled,
};
std::string_view StateName(ReleaseState state);    ///< "preparing", ..., "rolled_back", ...
std::string_view StrategyName(Strategy strategy);  ///< "canary", "blue_green", "shadow", "ab".
inline bool IsEnded(ReleaseState state) { return state >= ReleaseState::kSucceeded; }

/// A release as it is kept. What its route is to be follows from it alone (Wanted()); `route_pending` says
/// that the route may not be so yet.
struct Release {
  std::string id;  ///< UUIDv7; the salt of its split, too.
  ReleaseSpec spec;
  ReleaseState state = ReleaseState::kPreparing;
  std::size_t step = 0;
  WallTime state_since{};
  WallTime step_since{};  ///< While running: when it last began to run.
  Duration step_spent{};  ///< Of the step, before that.
  bool touched = false;   ///< The route has been changed, or is about to be.
  bool route_pending = false;
  std::int64_t route_revision = 0;        ///< Of the route that was last confirmed.
  std::int64_t first_route_revision = 0;  ///< Of the first one; 0 before it.
  std::string winner;                     ///< Of an experiment: the version that was promoted.
  std::string reason;                     ///< Why it is in its state: one sentence.
  std::int64_t revision = 0;              ///< Of the row; the store counts it up.

  [[nodiscard]] std::string ToJson() const;  ///< Without `revision`.
  static Result<Release> FromJson(std::string_view text);
};

struct WantedArm {
  std::string name;
  std::string version;
  std::uint32_t weight = 0;
  friend bool operator==(const WantedArm&, const WantedArm&) = default;
};

/// The part of a route that a release decides.
struct WantedRoute {
  std::vector<WantedArm> arms;
  std::string sticky;
  std::string salt;
  std::string stable;  ///< Gets what fails on another version.
  std::string shadow;  ///< A version, or empty.
  std::uint32_t shadow_share = 0;
  std::uint32_t shadow_max_in_flight = 0;
  std::string candidate;  ///< Shadows of it are the release's.
  friend bool operator==(const WantedRoute&, const WantedRoute&) = default;
};

/// Nothing when the release has not touched the route.
std::optional<WantedRoute> Wanted(const Release& release);
/// The route's JSON with the release's part replaced: its rules and others' shadows stay. `current` is empty
/// when there is no route. Fails with kInvalidArgument "release_route" when it is no route's JSON.
Result<std::string> ApplyRoute(std::string_view current, const WantedRoute& wanted);
/// Whether ApplyRoute() would change nothing.
Result<bool> RouteAgrees(std::string_view current, const WantedRoute& wanted);
/// Of the arms that are judged and compared, as shares of all calls; `treatment` is the index of an
/// experiment's arm, at least 1.
Shares SplitShares(const Release& release, std::size_t treatment = 1);

}  // namespace mezzo::releases
