#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/lifecycle/pipeline.h"

namespace mezzo::lifecycle {

enum class RunState : std::uint8_t {
  kQueued,  ///< Another run of the pipeline goes first, or more events are waited for.
  kRunning,
  kWaiting,  ///< For an approval.
  kSucceeded,
  kFailed,
  kCancelled,
};
std::string_view RunStateName(RunState state);  ///< "queued", ...
std::optional<RunState> ParseRunState(std::string_view name);
constexpr bool IsEnded(RunState state) { return state >= RunState::kSucceeded; }

enum class StageState : std::uint8_t {
  kPending,
  kWaiting,   ///< For its approval.
  kStarting,  ///< Its job is to be queued.
  kRunning,   ///< It is; or it runs.
  kWatching,  ///< What it began outside goes on: a version's test, a release.
  kRetrying,  ///< Until `retry_at`.
  kSucceeded,
  kFailed,
  kCancelled,
  kSkipped,  ///< The run ended before it.
};
std::string_view StageStateName(StageState state);

struct Failure {
  std::string reason;
  std::string message;
};

struct Approval {
  enum class State : std::uint8_t { kPending, kWaiting, kApproved, kRejected, kExpired };
  State state = State::kPending;
  std::string by;
  std::optional<WallTime> at;
  std::optional<WallTime> until;
  std::string note;
};
std::string_view ApprovalStateName(Approval::State state);

/// What goes on outside, and is to be stopped or looked at.
struct Outside {
  enum class Kind : std::uint8_t { kJob, kVersion, kRelease };
  Kind kind = Kind::kJob;
  std::string id;  ///< A job, a version's number, a release.
  friend bool operator==(const Outside&, const Outside&) = default;
};

/// A stage of a run.
struct StageRun {
  StageState state = StageState::kPending;
  std::uint32_t attempt = 0;  ///< Begun; never the same twice in a run.
  std::uint32_t lost = 0;     ///< Attempts whose hosts vanished, since then: not counted as retries.
  std::uint32_t first_attempt =
      0;            ///< Attempts that count no more: before the newest retry by hand, or lost.
  std::string job;  ///< Of the attempt; empty while it is to be queued.
  std::optional<WallTime> since;
  std::optional<WallTime> deadline;
  std::optional<WallTime> retry_at;
  std::optional<Failure> error;  ///< Of the newest attempt that failed.
  std::map<std::string, double> metrics;
  std::vector<GateOutcome> gates;
  Approval approval;
  std::optional<Outside> watch;
  std::string output;  ///< JSON object, or empty.
};

struct RunTrigger {
  std::string kind;  ///< "manual", or a trigger's kind.
  std::string who;
  WallTime at;
  std::string key;
  std::string detail;  ///< JSON object.
  std::uint32_t joined = 0;
};

/// A run of a pipeline as it is kept.
struct PipelineRun {
  std::string id;  ///< UUIDv7.
  std::string pipeline;
  std::int64_t pipeline_revision = 0;
  std::string model;
  TenantId tenant;
  std::shared_ptr<const PipelineSpec> spec;
  std::string text;  ///< That `spec` was read from; never changes.
  RunTrigger trigger;
  RunState state = RunState::kQueued;
  std::string reason;
  std::string message;
  std::optional<std::int64_t> parent;  ///< The version that served when it began.
  std::map<std::string, double> parent_metrics;
  std::optional<std::int64_t> version;  ///< That it registered.
  std::string release;
  WallTime created;
  WallTime not_before;
  std::optional<WallTime> started;
  std::optional<WallTime> ended;
  std::optional<WallTime> deadline;
  std::vector<StageRun> stages;
  std::vector<Outside> stops;  ///< What is still to be stopped.
  std::int64_t revision = 0;   ///< Of the row; the store counts it up.

  [[nodiscard]] std::string ToJson() const;  ///< Without text, spec and revision.
  /// `text` is the kept text. Fails with kInvalidArgument "pipeline_run_invalid".
  static Result<PipelineRun> FromJson(std::string_view json, std::shared_ptr<const PipelineSpec> spec,
                                      std::string text);
  /// Of the stage that is under way or comes next; `stages.size()` when all have succeeded.
  [[nodiscard]] std::size_t Current() const;
};

}  // namespace mezzo::lifecycle
