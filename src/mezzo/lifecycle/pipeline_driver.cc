#include "mezzo/lifecycle/pipeline_driver.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace mezzo::lifecycle {
namespace {

bool IsActive(const PipelineRun& run) {
  return run.state == RunState::kRunning || run.state == RunState::kWaiting;
}

/// Its current stage, when it is in `state`; else null.
const StageRun* In(const PipelineRun& run, StageState state) {
  const std::size_t index = run.Current();
  if (!IsActive(run) || index >= run.stages.size()) return nullptr;
  return run.stages[index].state == state ? &run.stages[index] : nullptr;
}

bool RunsCommand(const PipelineRun& run) {
  return In(run, StageState::kRunning) != nullptr && IsCommand(run.spec->stages[run.Current()].kind);
}

}  // namespace

std::string StageJob::ToJson() const {
  return nlohmann::ordered_json({{"run", run}, {"stage", stage}, {"attempt", attempt}}).dump();
}

Result<StageJob> StageJob::FromJson(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto number = [&](const char* name) {
    return json.contains(name) && json[name].is_number_unsigned();
  };
  if (!json.is_object() || json.size() != 3 || !json.contains("run") || !json["run"].is_string() ||
      !number("stage") || !number("attempt")) {
    return InvalidArgument("pipeline_job_invalid", "a stage's job must name its run, stage and attempt");
  }
  return StageJob{.run = json["run"].get<std::string>(),
                  .stage = json["stage"].get<std::size_t>(),
                  .attempt = json["attempt"].get<std::uint32_t>()};
}

Result<PipelineDriver::Round> PipelineDriver::Run(TimePoint deadline) {
  Round round;
  MEZZO_TRY(round.leads, ports_.store.Lead(host_, options_.lease, deadline));
  if (!round.leads) return round;
  MEZZO_TRY_VOID(ports_.store.FireDue(options_.max_due, deadline));
  MEZZO_TRY(PipelineStore::OpenRuns found, ports_.store.Open(options_.max_open, deadline));
  std::vector<PipelineRun>& open = found.runs;
  round.open = open.size();
  round.errors = std::move(found.unreadable);
  active_.clear();
  commands_ = 0;
  for (const PipelineRun& run : open) {
    if (IsActive(run)) active_.insert(run.pipeline);
    if (RunsCommand(run)) ++commands_;
    if (run.state == RunState::kWaiting) ++round.waiting;
  }
  for (PipelineRun& run : open) {
    const auto driven = Drive(std::move(run), deadline);
    // Somebody was faster: the next round sees what has become of it.
    if (!driven.ok() && driven.error().reason() != "pipeline_conflict")
      round.errors.push_back(driven.error());
  }
  return round;
}

Result<RunObservation> PipelineDriver::Observe(const PipelineRun& run, TimePoint deadline) {
  RunObservation seen;
  seen.now = ports_.clock.WallNow();
  if (run.state == RunState::kQueued) {
    seen.may_start = !active_.contains(run.pipeline);
    if (seen.may_start && seen.now >= run.not_before && !run.started) {
      MEZZO_TRY(PipelineWorld::Serving serving, ports_.world.ServingOf(run.model, deadline));
      seen.parent = serving.version;
      seen.parent_metrics = std::move(serving.metrics);
    }
    return seen;
  }
  if (const StageRun* stage = In(run, StageState::kRunning)) {
    MEZZO_TRY(StageJobs::View view, ports_.jobs.Look(run.tenant, stage->job, deadline));
    seen.job = view.state;
    seen.result = std::move(view.result);
    seen.failure = std::move(view.failure);
  }
  if (const StageRun* stage = In(run, StageState::kWatching)) {
    MEZZO_TRY(PipelineWorld::Watched watched, ports_.world.Look(run.model, *stage->watch, deadline));
    seen.watched = watched.state;
    seen.watched_failure = std::move(watched.failure);
  }
  return seen;
}

Result<void> PipelineDriver::Keep(PipelineRun& run, RunTransition next, TimePoint deadline) {
  MEZZO_TRY(const std::int64_t revision, ports_.store.Save(next, deadline));
  run = std::move(next.run);
  run.revision = revision;
  return {};
}

Result<bool> PipelineDriver::Act(PipelineRun& run, TimePoint deadline) {
  bool changed = false;
  if (In(run, StageState::kStarting) != nullptr) {
    const std::size_t index = run.Current();
    const bool command = IsCommand(run.spec->stages[index].kind);
    if (!command || commands_ < options_.max_commands) {
      const std::uint32_t attempt = run.stages[index].attempt;
      MEZZO_TRY(const std::string job,
                ports_.jobs.Submit(run.tenant, {.run = run.id, .stage = index, .attempt = attempt}, run.model,
                                   deadline));
      MEZZO_TRY_VOID(Keep(run, Confirm(run, index, attempt, job, ports_.clock.WallNow()), deadline));
      if (command) ++commands_;
      changed = true;
    }
  }
  if (run.stops.empty()) return changed;
  const std::vector<Outside> stops = run.stops;
  for (const Outside& stop : stops) {
    if (stop.kind == Outside::Kind::kJob) MEZZO_TRY_VOID(ports_.jobs.Cancel(run.tenant, stop.id, deadline));
    if (stop.kind == Outside::Kind::kRelease)
      MEZZO_TRY_VOID(ports_.world.StopRelease(stop.id, "pipeline run " + run.id, deadline));
  }
  MEZZO_TRY_VOID(Keep(run, ConfirmStops(run, stops), deadline));
  return true;
}

Result<void> PipelineDriver::Drive(PipelineRun run, TimePoint deadline) {
  // Each turn ends a stage's phase or is the last one.
  for (std::size_t turn = 0; turn < 4 * kMaxStages; ++turn) {
    bool changed = false;
    if (!IsEnded(run.state)) {
      const bool counted = RunsCommand(run);
      MEZZO_TRY(const RunObservation seen, Observe(run, deadline));
      RunTransition next = Advance(run, seen);
      changed = next.changed;
      if (changed) MEZZO_TRY_VOID(Keep(run, std::move(next), deadline));
      if (counted && !RunsCommand(run)) --commands_;
      if (IsActive(run)) active_.insert(run.pipeline);
    }
    MEZZO_TRY(const bool acted, Act(run, deadline));
    if (!changed && !acted) return {};
  }
  return {};
}

}  // namespace mezzo::lifecycle
