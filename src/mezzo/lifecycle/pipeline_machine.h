#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/pipeline_run.h"

namespace mezzo::lifecycle {

/// What happened, for the history and for webhooks.
struct RunEvent {
  WallTime at;
  std::string kind;   ///< "run.started", "stage.succeeded", ...
  std::string stage;  ///< Empty: of the run.
  std::string who;
  std::string text;
};

/// What a stage's job came to: JSON {"metrics": {...}, "output": {...}, "watch": {"kind", "id"}, "version",
/// "release"}, of which only what there is.
struct StageResult {
  std::map<std::string, double> metrics;
  std::string output;
  std::optional<Outside> watch;
  std::optional<std::int64_t> version;
  std::string release;

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "pipeline_result_invalid".
  static Result<StageResult> FromJson(std::string_view json);
};

/// What the world looks like to a run.
struct RunObservation {
  WallTime now;
  bool may_start = false;              ///< No other run of the pipeline is under way. Of a queued run.
  std::optional<std::int64_t> parent;  ///< With may_start: what serves now,
  std::map<std::string, double> parent_metrics;
  /// Of the job of the current stage, when it runs.
  enum class Job : std::uint8_t { kActive, kSucceeded, kFailed, kCancelled, kMissing };
  Job job = Job::kActive;
  std::string result;  ///< Of one that succeeded.
  Failure failure;     ///< Of one that failed.
  /// Of what the current stage watches.
  enum class Watched : std::uint8_t { kPending, kSucceeded, kFailed };
  Watched watched = Watched::kPending;
  std::string watched_text;  ///< JSON object joined to the output of a success.
  Failure watched_failure;
};

struct RunTransition {
  PipelineRun run;
  std::vector<RunEvent> events;
  bool changed = false;
};

enum class RunCommand : std::uint8_t { kApprove, kReject, kCancel, kRetry };
std::string_view RunCommandName(RunCommand command);  ///< "approve", "reject", "cancel", "retry".

struct RunDecision {
  RunCommand command = RunCommand::kCancel;
  std::string stage;  ///< Empty: whichever waits.
  std::string who;
  ApprovalRole role = ApprovalRole::kNone;
  std::string note;
};

/// The life of a run, as pure functions of it and of what is seen: no clock, no I/O. Legal transitions:
///
///   queued  → running | waiting | cancelled
///   running → waiting | succeeded | failed | cancelled     waiting → running | failed | cancelled
///   failed  → queued (retry by hand)
///   pending → waiting → starting → running → (watching) → succeeded | failed | cancelled
///   running → retrying → starting     pending → skipped     failed, cancelled, skipped → pending (retry by
///   hand)
///
/// Whoever drives it keeps the run first and acts then: a stage that is `starting` gets its job, keyed by
/// run, stage and attempt, which Confirm() writes down; what is in `stops` is stopped, which ConfirmStops()
/// does. All may be done again after a crash between any two of them. Only the job that was confirmed counts.
RunTransition Advance(const PipelineRun& run, const RunObservation& seen);
RunTransition Confirm(const PipelineRun& run, std::size_t stage, std::uint32_t attempt,
                      const std::string& job, WallTime now);
RunTransition ConfirmStops(const PipelineRun& run, const std::vector<Outside>& stopped);

/// kFailedPrecondition "pipeline_run_ended", "pipeline_not_waiting" (approve, reject), "pipeline_stage_other"
/// (another stage waits than the one that is meant), "pipeline_run_state" (retry of a run that has not
/// failed); kPermissionDenied "pipeline_role".
Result<RunTransition> Obey(const PipelineRun& run, const RunDecision& decision, WallTime now);

struct NewRun {
  std::string id;
  std::string pipeline;
  std::int64_t pipeline_revision = 0;
  TenantId tenant;
  std::shared_ptr<const PipelineSpec> spec;
  std::string text;
  RunTrigger trigger;
};
/// A run that is queued. One by hand does not wait for others to join it.
RunTransition BeginRun(NewRun begun, WallTime now);
/// Another trigger comes while it is queued. One by hand makes it start at once.
RunTransition JoinRun(const PipelineRun& run, const RunTrigger& trigger, WallTime now);

/// Whether the attempt of a stage may still do its work: it is the newest, and nothing has ended it. `job` is
/// the one that asks.
bool MayWork(const PipelineRun& run, std::size_t stage, std::uint32_t attempt, std::string_view job);

}  // namespace mezzo::lifecycle
