#include "mezzo/lifecycle/pipeline_machine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

constexpr const char* kSelf = "mezzo";
constexpr Duration kLongestBackoff = std::chrono::hours(1);
constexpr std::size_t kMaxText = 2000;
/// The queue's word for a job that two hosts did not survive. A stage begins anew after so many of those, so
/// that hosts may come and go, and one that kills its hosts ends.
constexpr std::string_view kHostsVanished = "job_quarantined";
constexpr std::uint32_t kMaxLost = 2;

constexpr std::array<std::string_view, 4> kCommands = {"approve", "reject", "cancel", "retry"};

/// Changes a run and writes its history.
class Change {
 public:
  Change(const PipelineRun& run, WallTime now, std::string who) : now_(now), who_(std::move(who)) {
    transition_.run = run;
  }

  PipelineRun& run() { return transition_.run; }
  [[nodiscard]] WallTime now() const { return now_; }
  [[nodiscard]] const StageSpec& SpecOf(std::size_t stage) const {
    return transition_.run.spec->stages[stage];
  }

  void Tell(std::string kind, std::string stage, std::string text) {
    transition_.changed = true;
    transition_.events.push_back(
        {.at = now_,
         .kind = std::move(kind),
         .stage = std::move(stage),
         .who = who_,
         .text = text.size() > kMaxText ? text.substr(0, kMaxText) : std::move(text)});
  }
  void SetState(std::size_t index, StageState state) {
    StageRun& stage = run().stages[index];
    stage.state = state;
    stage.since = now_;
    transition_.changed = true;
  }
  void Changed() { transition_.changed = true; }

  /// The run is over; what was still to come is skipped.
  void End(RunState state, std::string reason, std::string message) {
    for (StageRun& stage : run().stages) {
      if (stage.state == StageState::kPending) {
        stage.state = StageState::kSkipped;
        stage.since = now_;
      }
      if (stage.approval.state == Approval::State::kWaiting) stage.approval.state = Approval::State::kExpired;
    }
    run().state = state;
    run().reason = std::move(reason);
    run().message = message;
    run().ended = now_;
    run().deadline.reset();
    Tell("run." + std::string(RunStateName(state)), "", std::move(message));
  }
  /// What the stage has going outside is to be stopped.
  void StopStage(std::size_t index) {
    StageRun& stage = run().stages[index];
    if (stage.state == StageState::kRunning && !stage.job.empty())
      run().stops.push_back({.kind = Outside::Kind::kJob, .id = stage.job});
    if (stage.state == StageState::kWatching && stage.watch && stage.watch->kind == Outside::Kind::kRelease)
      run().stops.push_back(*stage.watch);
    stage.deadline.reset();
    stage.retry_at.reset();
    stage.watch.reset();
  }
  /// The stage fails for good, and the run with it.
  void Fail(std::size_t index, StageState state, Failure failure) {
    StopStage(index);
    SetState(index, state);
    run().stages[index].error = failure;
    Tell("stage.failed", SpecOf(index).name, failure.message);
    const std::string text = "stage '" + SpecOf(index).name + "': " + failure.message;
    End(RunState::kFailed, std::move(failure.reason), text);
  }

  RunTransition Take() && { return std::move(transition_); }

 private:
  const WallTime now_;
  const std::string who_;
  RunTransition transition_;
};

void Start(Change& change, std::size_t index) {
  StageRun& stage = change.run().stages[index];
  ++stage.attempt;
  stage.job.clear();
  stage.retry_at.reset();
  stage.deadline.reset();
  stage.watch.reset();
  stage.metrics.clear();
  stage.gates.clear();
  stage.output.clear();
  change.SetState(index, StageState::kStarting);
  change.run().state = RunState::kRunning;
  change.Tell("stage.started", change.SpecOf(index).name, fmt::format("attempt {}", stage.attempt));
}

/// The stage is next: its approval is asked, or it starts. Without another one the run has succeeded.
void EnterStage(Change& change, std::size_t index) {
  PipelineRun& run = change.run();
  if (index == run.stages.size()) return change.End(RunState::kSucceeded, "", "all stages have succeeded");
  const StageSpec& spec = change.SpecOf(index);
  StageRun& stage = run.stages[index];
  if (spec.approval == ApprovalRole::kNone || stage.approval.state == Approval::State::kApproved)
    return Start(change, index);
  stage.approval = {.state = Approval::State::kWaiting, .until = change.now() + spec.approval_limit};
  run.state = RunState::kWaiting;
  change.SetState(index, StageState::kWaiting);
  change.Tell("stage.waiting_for_approval", spec.name,
              fmt::format("an approval by the role '{}' is asked for", ApprovalRoleName(spec.approval)));
}

/// An attempt has failed: again, if there are retries left.
void FailAttempt(Change& change, std::size_t index, Failure failure, bool may_retry) {
  StageRun& stage = change.run().stages[index];
  const StageSpec& spec = change.SpecOf(index);
  const std::uint32_t failed = stage.attempt - stage.first_attempt;
  if (!may_retry || failed > spec.retries) return change.Fail(index, StageState::kFailed, std::move(failure));
  Duration wait = spec.backoff;
  for (std::uint32_t i = 1; i < failed && wait < kLongestBackoff; ++i) wait *= 2;
  change.StopStage(index);
  stage.retry_at = change.now() + std::min(wait, kLongestBackoff);
  stage.job.clear();
  stage.error = failure;
  change.SetState(index, StageState::kRetrying);
  change.Tell("stage.retrying", spec.name,
              fmt::format("attempt {} failed: {}", stage.attempt, failure.message));
}

std::map<std::string, double> AllMetrics(const PipelineRun& run) {
  std::map<std::string, double> all;
  for (const StageRun& stage : run.stages) {
    for (const auto& [name, value] : stage.metrics) all[name] = value;
  }
  return all;
}

/// The stage has done its work: its gates are judged.
void Settle(Change& change, std::size_t index) {
  PipelineRun& run = change.run();
  StageRun& stage = run.stages[index];
  const auto metrics = AllMetrics(run);
  stage.gates.clear();
  const GateOutcome* failed = nullptr;
  for (const MetricGate& gate : change.SpecOf(index).gates)
    stage.gates.push_back(Judge(gate, metrics, run.parent ? &run.parent_metrics : nullptr));
  for (const GateOutcome& gate : stage.gates) {
    if (gate.verdict == GateOutcome::Verdict::kFailed && failed == nullptr) failed = &gate;
  }
  if (failed != nullptr) {
    return change.Fail(index, StageState::kFailed,
                       {.reason = "pipeline_gate_failed",
                        .message = "the gate '" + failed->gate + "' is not met: " + failed->reason});
  }
  stage.deadline.reset();
  stage.watch.reset();
  stage.error.reset();
  change.SetState(index, StageState::kSucceeded);
  change.Tell("stage.succeeded", change.SpecOf(index).name,
              stage.gates.empty() ? "" : fmt::format("{} gates met", stage.gates.size()));
  EnterStage(change, index + 1);
}

void TakeResult(Change& change, std::size_t index, const std::string& text) {
  PipelineRun& run = change.run();
  StageRun& stage = run.stages[index];
  const auto result = StageResult::FromJson(text);
  if (!result.ok()) {
    return FailAttempt(change, index,
                       {.reason = std::string(result.error().reason()), .message = result.error().message()},
                       /*may_retry=*/false);
  }
  for (const std::string& name : change.SpecOf(index).metrics) {
    if (result->metrics.contains(name)) continue;
    return FailAttempt(change, index,
                       {.reason = "pipeline_metric_missing",
                        .message = "metrics.json has no number '" + name + "', which the stage promises"},
                       /*may_retry=*/true);
  }
  stage.metrics = result->metrics;
  stage.output = result->output;
  if (result->version) run.version = result->version;
  if (!result->release.empty()) run.release = result->release;
  if (!result->watch) return Settle(change, index);
  stage.watch = result->watch;
  change.SetState(index, StageState::kWatching);
  change.Tell("stage.watching", change.SpecOf(index).name,
              (result->watch->kind == Outside::Kind::kRelease ? "release " : "version ") + result->watch->id);
}

Failure TooLong(std::string_view what, Duration limit) {
  return {.reason = "pipeline_time_limit",
          .message = fmt::format("{} took longer than {:g} s", what, Seconds(limit))};
}

/// One step, if there is one to take.
void Step(Change& change, const RunObservation& seen) {
  PipelineRun& run = change.run();
  const std::size_t index = run.Current();
  if (run.state == RunState::kQueued) {
    if (!seen.may_start || seen.now < run.not_before) return;
    run.state = RunState::kRunning;
    if (!run.started) {
      run.parent = seen.parent;
      run.parent_metrics = seen.parent_metrics;
    }
    run.started = seen.now;
    run.deadline = seen.now + run.spec->time_limit;
    change.Tell("run.started", "", "begun by " + run.trigger.kind);
    return EnterStage(change, index);
  }
  if (run.deadline && seen.now >= *run.deadline)
    return change.Fail(index, StageState::kFailed, TooLong("the run", run.spec->time_limit));
  StageRun& stage = run.stages[index];
  const StageSpec& spec = change.SpecOf(index);
  switch (stage.state) {
    case StageState::kWaiting:
      if (stage.approval.until && seen.now >= *stage.approval.until) {
        stage.approval.state = Approval::State::kExpired;
        change.Fail(index, StageState::kFailed,
                    {.reason = "pipeline_approval_expired",
                     .message = fmt::format("nobody approved within {:g} s", Seconds(spec.approval_limit))});
      }
      return;
    case StageState::kRetrying:
      if (seen.now >= *stage.retry_at) Start(change, index);
      return;
    case StageState::kRunning:
      if (seen.job == RunObservation::Job::kSucceeded) return TakeResult(change, index, seen.result);
      if (seen.job == RunObservation::Job::kFailed) {
        if (seen.failure.reason == kHostsVanished && stage.lost < kMaxLost) {
          ++stage.lost;
          ++stage.first_attempt;
        }
        return FailAttempt(change, index, seen.failure, true);
      }
      if (seen.job == RunObservation::Job::kMissing)
        return FailAttempt(
            change, index,
            {.reason = "pipeline_job_lost", .message = "the job '" + stage.job + "' is not there any more"},
            true);
      if (seen.job == RunObservation::Job::kCancelled)
        return FailAttempt(change, index,
                           {.reason = "pipeline_job_stopped",
                            .message = "somebody has cancelled the job '" + stage.job + "'"},
                           false);
      if (seen.now >= *stage.deadline)
        return FailAttempt(change, index, TooLong("the attempt", spec.time_limit), true);
      return;
    case StageState::kWatching:
      if (seen.watched == RunObservation::Watched::kSucceeded) return Settle(change, index);
      if (seen.watched == RunObservation::Watched::kFailed)
        return FailAttempt(change, index, seen.watched_failure, false);
      if (seen.now >= *stage.deadline)
        return FailAttempt(change, index, TooLong("the stage", spec.time_limit), false);
      return;
    default:
      return;  // kStarting: Confirm() goes on with it.
  }
}

Result<void> CheckWaits(const PipelineRun& run, std::size_t index, const RunDecision& decision) {
  if (run.state != RunState::kWaiting) {
    return FailedPrecondition(
        "pipeline_not_waiting",
        "run '" + run.id + "' is " + std::string(RunStateName(run.state)) + ": it waits for no approval");
  }
  const StageSpec& spec = run.spec->stages[index];
  if (!decision.stage.empty() && decision.stage != spec.name) {
    return FailedPrecondition(
        "pipeline_stage_other",
        "the stage '" + spec.name + "' waits for an approval, not '" + Printable(decision.stage, 64) + "'");
  }
  if (decision.role < spec.approval) {
    return PermissionDenied("pipeline_role",
                            fmt::format("the stage '{}' needs the role '{}' to {}; '{}' has '{}'", spec.name,
                                        ApprovalRoleName(spec.approval), RunCommandName(decision.command),
                                        Printable(decision.who, 64), ApprovalRoleName(decision.role)));
  }
  return {};
}

void Retry(Change& change) {
  PipelineRun& run = change.run();
  for (StageRun& stage : run.stages) {
    if (stage.state == StageState::kSucceeded) continue;
    stage.state = StageState::kPending;
    stage.first_attempt = stage.attempt;
    stage.lost = 0;
    if (stage.approval.state != Approval::State::kApproved) stage.approval = {};
    stage.deadline.reset();
    stage.retry_at.reset();
    stage.watch.reset();
  }
  run.state = RunState::kQueued;
  run.not_before = change.now();
  run.ended.reset();
  run.reason.clear();
  run.message.clear();
}

}  // namespace

std::string_view RunCommandName(RunCommand command) {
  return kCommands.at(static_cast<std::size_t>(command));
}

RunTransition Advance(const PipelineRun& run, const RunObservation& seen) {
  Change change(run, seen.now, kSelf);
  if (!IsEnded(run.state)) Step(change, seen);
  return std::move(change).Take();
}

RunTransition Confirm(const PipelineRun& run, std::size_t stage, std::uint32_t attempt,
                      const std::string& job, WallTime now) {
  Change change(run, now, kSelf);
  const bool wanted = !IsEnded(run.state) && stage < run.stages.size() &&
                      run.stages[stage].state == StageState::kStarting &&
                      run.stages[stage].attempt == attempt;
  if (wanted) {
    StageRun& one = change.run().stages[stage];
    one.job = job;
    one.deadline = now + change.SpecOf(stage).time_limit;
    change.SetState(stage, StageState::kRunning);
  }
  return std::move(change).Take();
}

RunTransition ConfirmStops(const PipelineRun& run, const std::vector<Outside>& stopped) {
  Change change(run, {}, kSelf);
  auto& stops = change.run().stops;
  const auto gone = std::remove_if(stops.begin(), stops.end(), [&](const Outside& one) {
    return std::find(stopped.begin(), stopped.end(), one) != stopped.end();
  });
  if (gone != stops.end()) change.Changed();
  stops.erase(gone, stops.end());
  return std::move(change).Take();
}

Result<RunTransition> Obey(const PipelineRun& run, const RunDecision& decision, WallTime now) {
  Change change(run, now, decision.who);
  const std::size_t index = run.Current();
  if (decision.command == RunCommand::kRetry) {
    if (run.state != RunState::kFailed) {
      return FailedPrecondition("pipeline_run_state", "run '" + run.id + "' is " +
                                                          std::string(RunStateName(run.state)) +
                                                          ": only one that has failed can be retried");
    }
    Retry(change);
    change.Tell("run.retried", "", decision.note);
    return std::move(change).Take();
  }
  if (IsEnded(run.state)) {
    return FailedPrecondition("pipeline_run_ended", "run '" + run.id + "' has ended: it is " +
                                                        std::string(RunStateName(run.state)));
  }
  if (decision.command == RunCommand::kCancel) {
    if (run.state != RunState::kQueued && index < run.stages.size()) {
      change.StopStage(index);
      change.SetState(index, StageState::kCancelled);
    }
    change.End(RunState::kCancelled, "pipeline_cancelled",
               "cancelled by " + decision.who + (decision.note.empty() ? "" : ": " + decision.note));
    return std::move(change).Take();
  }
  MEZZO_TRY_VOID(CheckWaits(run, index, decision));
  const bool yes = decision.command == RunCommand::kApprove;
  StageRun& stage = change.run().stages[index];
  stage.approval.state = yes ? Approval::State::kApproved : Approval::State::kRejected;
  stage.approval.by = decision.who;
  stage.approval.at = now;
  stage.approval.note = decision.note;
  change.Tell(yes ? "stage.approved" : "stage.rejected", change.SpecOf(index).name, decision.note);
  if (yes) {
    Start(change, index);
  } else {
    change.Fail(index, StageState::kFailed,
                {.reason = "pipeline_rejected", .message = "rejected by " + decision.who});
  }
  return std::move(change).Take();
}

RunTransition BeginRun(NewRun begun, WallTime now) {
  PipelineRun run;
  run.id = std::move(begun.id);
  run.pipeline = std::move(begun.pipeline);
  run.pipeline_revision = begun.pipeline_revision;
  run.model = begun.spec->model;
  run.tenant = std::move(begun.tenant);
  run.spec = std::move(begun.spec);
  run.text = std::move(begun.text);
  run.trigger = std::move(begun.trigger);
  run.created = now;
  const bool event =
      run.trigger.kind == "data" || run.trigger.kind == "drift" || run.trigger.kind == "objective";
  run.not_before = event ? now + run.spec->debounce : now;
  run.stages.resize(run.spec->stages.size());
  const std::string who = run.trigger.who;
  const std::string what = run.trigger.kind + (run.trigger.key.empty() ? "" : " " + run.trigger.key);
  Change change(run, now, who);
  change.Tell("run.queued", "", what);
  return std::move(change).Take();
}

RunTransition JoinRun(const PipelineRun& run, const RunTrigger& trigger, WallTime now) {
  Change change(run, now, trigger.who);
  ++change.run().trigger.joined;
  if (trigger.kind == "manual") change.run().not_before = now;
  change.Tell("run.joined", "", trigger.kind + (trigger.key.empty() ? "" : " " + trigger.key));
  return std::move(change).Take();
}

bool MayWork(const PipelineRun& run, std::size_t stage, std::uint32_t attempt, std::string_view job) {
  if (run.state != RunState::kRunning || stage >= run.stages.size()) return false;
  const StageRun& one = run.stages[stage];
  if (one.attempt != attempt) return false;
  // Its job may be faster than Confirm().
  return one.state == StageState::kStarting || (one.state == StageState::kRunning && one.job == job);
}

}  // namespace mezzo::lifecycle
