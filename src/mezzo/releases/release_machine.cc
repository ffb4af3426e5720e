#include "mezzo/releases/release_machine.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"

namespace mezzo::releases {
namespace {

constexpr const char* kSelf = "mezzo";

Duration InStep(const Release& release, WallTime now) {
  Duration spent = release.step_spent;
  if (release.state != ReleaseState::kPaused && now > release.step_since) spent += now - release.step_since;
  return spent;
}
Duration InState(const Release& release, WallTime now) {
  return std::max(now - release.state_since, Duration::zero());
}

/// Changes a release and writes its history.
class Change {
 public:
  Change(const Release& release, WallTime now, std::string who) : now_(now), who_(std::move(who)) {
    transition_.release = release;
  }

  void Tell(std::string kind, std::string text) {
    transition_.changed = true;
    transition_.events.push_back({.at = now_, .kind = std::move(kind), .who = who_, .text = std::move(text)});
  }
  void Enter(ReleaseState state, std::string reason) {
    Release& release = transition_.release;
    release.step_spent = InStep(release, now_);
    release.step_since = now_;
    release.state = state;
    release.state_since = now_;
    release.reason = reason;
    Tell(std::string(StateName(state)), std::move(reason));
  }
  void TouchRoute() {
    transition_.release.touched = true;
    transition_.release.route_pending = true;
  }
  void BeginStep(std::size_t step, std::string reason) {
    Release& release = transition_.release;
    if (release.state != ReleaseState::kRunning) Enter(ReleaseState::kRunning, reason);
    release.step = step;
    release.step_since = now_;
    release.step_spent = Duration::zero();
    release.reason = reason;
    transition_.step_began = true;
    if (release.spec.strategy == Strategy::kCanary) {
      Tell("step", fmt::format("{:g} % of the calls. {}", release.spec.steps[step].weight / 100.0, reason));
    }
    TouchRoute();
  }
  void Promote(std::string reason) {
    transition_.step_began = true;
    Enter(ReleaseState::kPromoting, std::move(reason));
    TouchRoute();
  }
  /// Ends it with the route as it was, or as it is to be for good.
  void End(ReleaseState state, std::string reason) {
    Enter(state, std::move(reason));
    if (transition_.release.touched) TouchRoute();
  }
  void Acknowledge() { transition_.acknowledged = true; }

  [[nodiscard]] Release& release() { return transition_.release; }
  Transition Take() && { return std::move(transition_); }

 private:
  const WallTime now_;
  const std::string who_;
  Transition transition_;
};

/// The step after a canary's one, or all of it.
void MoveOn(Change& change, std::string reason) {
  const Release& release = change.release();
  const std::vector<ReleaseStep>& steps = release.spec.steps;
  const std::size_t next = release.step + 1;
  if (next + 1 >= steps.size()) return change.Promote(std::move(reason));  // The last step is the whole.
  change.BeginStep(next, std::move(reason));
}

void RunOn(Change& change, const Observation& seen) {
  const Release& release = change.release();
  if (seen.route_foreign) {
    return change.Enter(ReleaseState::kPaused, "Somebody else has changed the model's route.");
  }
  if (release.spec.strategy == Strategy::kAb && InStep(release, seen.now) >= release.spec.step_limit) {
    return change.End(ReleaseState::kSucceeded, "The experiment's time is over; nobody named a winner.");
  }
  if (!seen.verdict || release.route_pending) return;
  switch (*seen.verdict) {
    case Action::kHold:
    case Action::kRollBack:
      return;
    case Action::kPause:
      return change.Enter(ReleaseState::kPaused, seen.verdict_reason);
    case Action::kPromote:
      break;
  }
  switch (release.spec.strategy) {
    case Strategy::kCanary:
      if (release.spec.automatic) MoveOn(change, seen.verdict_reason);
      return;
    case Strategy::kShadow:
      return change.End(ReleaseState::kSucceeded, "The shadow was found no worse. " + seen.verdict_reason);
    case Strategy::kBlueGreen:
    case Strategy::kAb:
      return;
  }
}

void Prepare(Change& change, const Observation& seen) {
  const Release& release = change.release();
  if (seen.fleet == Observation::Fleet::kFailed) {
    return change.End(ReleaseState::kFailed, "The version could not be loaded: " + seen.fleet_reason);
  }
  if (seen.fleet == Observation::Fleet::kReady) {
    const std::string reason = "The version is loaded and warm on all hosts.";
    if (release.spec.strategy == Strategy::kBlueGreen ||
        (release.spec.strategy == Strategy::kCanary && release.spec.steps.size() == 1)) {
      return change.Promote(reason);
    }
    return change.BeginStep(0, reason);
  }
  if (InState(release, seen.now) >= release.spec.prepare_limit) {
    change.End(ReleaseState::kFailed, fmt::format("The version was not loaded everywhere within {:.0f} s. {}",
                                                  Seconds(release.spec.prepare_limit), seen.fleet_reason));
  }
}

bool HasCalls(ReleaseState state) {
  return state == ReleaseState::kRunning || state == ReleaseState::kPaused ||
         state == ReleaseState::kPromoting || state == ReleaseState::kSettling;
}

Error WrongState(const Release& release, Command command) {
  return FailedPrecondition("release_state", fmt::format("release '{}' is {}: it can't {}", release.id,
                                                         StateName(release.state), CommandName(command)));
}

}  // namespace

std::string_view CommandName(Command command) {
  switch (command) {
    case Command::kPause:
      return "pause";
    case Command::kResume:
      return "resume";
    case Command::kPromote:
      return "promote";
    case Command::kRollBack:
      return "roll_back";
    case Command::kCancel:
      return "cancel";
  }
  return "cancel";
}

Transition Begin(ReleaseSpec spec, std::string id, const std::string& who, WallTime now) {
  MEZZO_CHECK(spec.Check().ok());
  Release release;
  release.id = std::move(id);
  release.spec = std::move(spec);
  Change change(release, now, who);
  change.Enter(ReleaseState::kPreparing, "The version is being loaded and warmed up on all hosts.");
  change.release().step_spent = Duration::zero();
  return std::move(change).Take();
}

Transition Advance(const Release& release, const Observation& seen) {
  Change change(release, seen.now, kSelf);
  if (HasCalls(release.state)) {
    if (seen.broken) {
      change.End(ReleaseState::kRolledBack, "The version breaks down: " + seen.broken_reason);
      return std::move(change).Take();
    }
    if (seen.verdict == Action::kRollBack) {
      change.End(ReleaseState::kRolledBack, seen.verdict_reason);
      return std::move(change).Take();
    }
  }
  switch (release.state) {
    case ReleaseState::kPreparing:
      Prepare(change, seen);
      break;
    case ReleaseState::kRunning:
      RunOn(change, seen);
      break;
    case ReleaseState::kSettling:
      if (!release.route_pending && InState(release, seen.now) >= release.spec.settle) {
        change.End(ReleaseState::kSucceeded,
                   fmt::format("Nothing was found wrong for {:.0f} s after the switch.",
                               Seconds(release.spec.settle)));
      }
      break;
    case ReleaseState::kPaused:
    case ReleaseState::kPromoting:  // Confirm() goes on.
    case ReleaseState::kSucceeded:
    case ReleaseState::kRolledBack:
    case ReleaseState::kFailed:
    case ReleaseState::kCancelled:
      break;
  }
  return std::move(change).Take();
}

Transition Confirm(const Release& release, std::int64_t route_revision, WallTime now) {
  Change change(release, now, kSelf);
  if (!release.route_pending) return std::move(change).Take();
  Release& next = change.release();
  next.route_pending = false;
  next.route_revision = route_revision;
  if (next.first_route_revision == 0) next.first_route_revision = route_revision;
  Transition transition;
  if (release.state == ReleaseState::kPromoting) {
    change.Enter(ReleaseState::kSettling, "All calls go to the new version; the old one stays warm.");
  } else if (release.state == ReleaseState::kRunning) {
    next.step_since = std::max(next.step_since, now);  // A step lasts from when it is in force.
  }
  transition = std::move(change).Take();
  transition.changed = true;
  return transition;
}

Result<Transition> Obey(const Release& release, Command command, const std::string& arm,
                        const std::string& who, WallTime now) {
  if (IsEnded(release.state)) {
    return FailedPrecondition("release_ended", fmt::format("release '{}' has ended: it is {}", release.id,
                                                           StateName(release.state)));
  }
  Change change(release, now, who);
  const ReleaseState state = release.state;
  const std::string by = fmt::format("{} by {}.", CommandName(command), who);
  switch (command) {
    case Command::kPause:
      if (state != ReleaseState::kRunning) return WrongState(release, command);
      change.Enter(ReleaseState::kPaused, by);
      break;
    case Command::kResume:
      if (state != ReleaseState::kPaused) return WrongState(release, command);
      change.Enter(ReleaseState::kRunning, by);
      change.Acknowledge();
      change.TouchRoute();  // Also where somebody else had changed it.
      break;
    case Command::kPromote: {
      if (state != ReleaseState::kRunning && state != ReleaseState::kPaused)
        return WrongState(release, command);
      if (release.spec.strategy == Strategy::kAb) {
        const auto& arms = release.spec.arms;
        const auto found = std::find_if(arms.begin(), arms.end(),
                                        [&](const ExperimentArm& each) { return each.name == arm; });
        if (found == arms.end()) {
          return InvalidArgument("release_arm",
                                 "to promote an experiment names one of its arms as the winner");
        }
        change.release().winner = found->version;
      } else if (!arm.empty()) {
        return InvalidArgument("release_arm", "only an experiment has arms to choose from");
      }
      change.Promote(by);
      break;
    }
    case Command::kRollBack:
      if (state == ReleaseState::kPreparing) {
        change.End(ReleaseState::kCancelled, by);
      } else {
        change.End(ReleaseState::kRolledBack, by);
      }
      break;
    case Command::kCancel:
      if (state == ReleaseState::kPromoting || state == ReleaseState::kSettling) {
        return WrongState(release, command);
      }
      change.End(ReleaseState::kCancelled, by);
      break;
  }
  return std::move(change).Take();
}

StepProgress Progress(const Release& release, WallTime now) {
  StepProgress progress{.elapsed = InStep(release, now),
                        .min_duration = std::chrono::minutes(1),
                        .max_duration = release.spec.step_limit,
                        .min_calls = 100};
  if (release.step < release.spec.steps.size()) {
    progress.min_duration = release.spec.steps[release.step].min_duration;
    progress.min_calls = release.spec.steps[release.step].min_calls;
  }
  return progress;
}

}  // namespace mezzo::releases
