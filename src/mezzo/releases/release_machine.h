#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/release.h"

namespace mezzo::releases {

enum class Command : std::uint8_t { kPause, kResume, kPromote, kRollBack, kCancel };
std::string_view CommandName(Command command);  ///< "pause", "resume", "promote", "roll_back", "cancel".

/// What happened, for the history.
struct ReleaseEvent {
  WallTime at;
  std::string kind;  ///< The state's name that was entered, or "step", "resumed", "hold".
  std::string who;   ///< A key's id, or "mezzo".
  std::string text;
};

/// What the world looks like to a release.
struct Observation {
  enum class Fleet : std::uint8_t { kPending, kReady, kFailed };
  WallTime now;
  Fleet fleet = Fleet::kPending;  ///< Whether every host has what is to serve loaded and warm.
  std::string fleet_reason;
  std::optional<Action> verdict;  ///< Of this step's analysis.
  std::string verdict_reason;
  bool broken = false;  ///< The candidate crashes, hangs or exhausts memory: its breaker is open.
  std::string broken_reason;
  bool route_foreign = false;  ///< Somebody else has changed the route.
};

struct Transition {
  Release release;
  std::vector<ReleaseEvent> events;
  bool step_began = false;    ///< The analysis is told by BeginStep().
  bool acknowledged = false;  ///< ... by Acknowledge().
  bool changed = false;       ///< There is something to keep.
};

/// The life of a release, as a pure function of it and of what is seen: no clock, no I/O. Legal transitions:
///
///   preparing → running (blue-green: promoting) | failed | cancelled
///   running   → running (next step) | paused | promoting | succeeded (shadow, experiment) | rolled_back |
///               cancelled
///   paused    → running | promoting | rolled_back | cancelled
///   promoting → settling | rolled_back          settling → succeeded | rolled_back
///
/// Whoever drives it keeps the release first, then makes the route agree with Wanted(), then says so by
/// Confirm(); all three may be done again after a crash between any two of them. While the route is pending
/// a release only goes back, never on.
Transition Advance(const Release& release, const Observation& seen);

/// The route is as Wanted() has it, under `route_revision`.
Transition Confirm(const Release& release, std::int64_t route_revision, WallTime now);

/// `arm` names an experiment's winner with kPromote, and is empty otherwise. Fails with kFailedPrecondition
/// "release_ended" or "release_state", kInvalidArgument "release_arm".
Result<Transition> Obey(const Release& release, Command command, const std::string& arm,
                        const std::string& who, WallTime now);

/// A release that begins. `spec` must pass its Check().
Transition Begin(ReleaseSpec spec, std::string id, const std::string& who, WallTime now);

/// Where its step stands, for Analysis::Look().
StepProgress Progress(const Release& release, WallTime now);

}  // namespace mezzo::releases
