#include "mezzo/lifecycle/pipeline_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/lifecycle/pipeline_machine.h"

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 6> kRunStates = {"queued",    "running", "waiting",
                                                        "succeeded", "failed",  "cancelled"};
constexpr std::array<std::string_view, 10> kStageStates = {"pending",   "waiting",  "starting",  "running",
                                                           "watching",  "retrying", "succeeded", "failed",
                                                           "cancelled", "skipped"};
constexpr std::array<std::string_view, 5> kApprovalStates = {"pending", "waiting", "approved", "rejected",
                                                             "expired"};
constexpr std::array<std::string_view, 3> kOutsideKinds = {"job", "version", "release"};

/// Thrown inside this file alone, and caught here: nlohmann's own errors are handled in the same place.
struct Wrong {
  std::string what;
};

template <typename Enum, std::size_t n>
Enum FromName(const std::array<std::string_view, n>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw Wrong{"'" + name + "'"};
  return static_cast<Enum>(found - names.begin());
}

Json TimeJson(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
Json TimeJson(const std::optional<WallTime>& time) { return time ? TimeJson(*time) : Json(nullptr); }
WallTime TimeOf(const Json& json) { return WallTime(std::chrono::microseconds(json.get<std::int64_t>())); }
std::optional<WallTime> MaybeTime(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(TimeOf(json));
}

Json OutsideJson(const Outside& one) {
  return {{"kind", kOutsideKinds.at(static_cast<std::size_t>(one.kind))}, {"id", one.id}};
}
Outside OutsideOf(const Json& json) {
  return {.kind = FromName<Outside::Kind>(kOutsideKinds, json.at("kind").get<std::string>()),
          .id = json.at("id").get<std::string>()};
}

Json NumberJson(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }
std::optional<double> MaybeNumber(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<double>());
}

Json StageJson(const StageRun& stage) {
  Json gates = Json::array();
  for (const GateOutcome& gate : stage.gates) {
    gates.push_back({{"gate", gate.gate},
                     {"verdict", static_cast<int>(gate.verdict)},
                     {"left", NumberJson(gate.left)},
                     {"right", NumberJson(gate.right)},
                     {"reason", gate.reason}});
  }
  Json json = {{"state", StageStateName(stage.state)},
               {"attempt", stage.attempt},
               {"first_attempt", stage.first_attempt},
               {"lost", stage.lost},
               {"job", stage.job},
               {"since", TimeJson(stage.since)},
               {"deadline", TimeJson(stage.deadline)},
               {"retry_at", TimeJson(stage.retry_at)},
               {"metrics", stage.metrics},
               {"gates", std::move(gates)},
               {"approval",
                {{"state", ApprovalStateName(stage.approval.state)},
                 {"by", stage.approval.by},
                 {"at", TimeJson(stage.approval.at)},
                 {"until", TimeJson(stage.approval.until)},
                 {"note", stage.approval.note}}},
               {"watch", stage.watch ? OutsideJson(*stage.watch) : Json(nullptr)},
               {"output", stage.output}};
  if (stage.error) json["error"] = {{"reason", stage.error->reason}, {"message", stage.error->message}};
  return json;
}

StageRun StageOf(const Json& json) {
  StageRun stage;
  stage.state = FromName<StageState>(kStageStates, json.at("state").get<std::string>());
  stage.attempt = json.at("attempt").get<std::uint32_t>();
  stage.first_attempt = json.at("first_attempt").get<std::uint32_t>();
  stage.lost = json.at("lost").get<std::uint32_t>();
  stage.job = json.at("job").get<std::string>();
  stage.since = MaybeTime(json.at("since"));
  stage.deadline = MaybeTime(json.at("deadline"));
  stage.retry_at = MaybeTime(json.at("retry_at"));
  stage.metrics = json.at("metrics").get<std::map<std::string, double>>();
  for (const Json& gate : json.at("gates")) {
    const int verdict = gate.at("verdict").get<int>();
    if (verdict < 0 || verdict > 2) throw Wrong{"a gate's verdict"};
    stage.gates.push_back({.gate = gate.at("gate").get<std::string>(),
                           .verdict = static_cast<GateOutcome::Verdict>(verdict),
                           .left = MaybeNumber(gate.at("left")),
                           .right = MaybeNumber(gate.at("right")),
                           .reason = gate.at("reason").get<std::string>()});
  }
  const Json& approval = json.at("approval");
  stage.approval = {
      .state = FromName<Approval::State>(kApprovalStates, approval.at("state").get<std::string>()),
      .by = approval.at("by").get<std::string>(),
      .at = MaybeTime(approval.at("at")),
      .until = MaybeTime(approval.at("until")),
      .note = approval.at("note").get<std::string>()};
  if (!json.at("watch").is_null()) stage.watch = OutsideOf(json.at("watch"));
  stage.output = json.at("output").get<std::string>();
  if (json.contains("error"))
    stage.error = Failure{.reason = json.at("error").at("reason").get<std::string>(),
                          .message = json.at("error").at("message").get<std::string>()};
  return stage;
}

PipelineRun RunOf(const Json& json) {
  PipelineRun run;
  run.id = json.at("id").get<std::string>();
  run.pipeline = json.at("pipeline").get<std::string>();
  run.pipeline_revision = json.at("pipeline_revision").get<std::int64_t>();
  run.model = json.at("model").get<std::string>();
  run.tenant = TenantId(json.at("tenant").get<std::string>());
  const Json& trigger = json.at("trigger");
  run.trigger = {.kind = trigger.at("kind").get<std::string>(),
                 .who = trigger.at("who").get<std::string>(),
                 .at = TimeOf(trigger.at("at")),
                 .key = trigger.at("key").get<std::string>(),
                 .detail = trigger.at("detail").get<std::string>(),
                 .joined = trigger.at("joined").get<std::uint32_t>()};
  run.state = FromName<RunState>(kRunStates, json.at("state").get<std::string>());
  run.reason = json.at("reason").get<std::string>();
  run.message = json.at("message").get<std::string>();
  if (!json.at("parent").is_null()) run.parent = json.at("parent").get<std::int64_t>();
  run.parent_metrics = json.at("parent_metrics").get<std::map<std::string, double>>();
  if (!json.at("version").is_null()) run.version = json.at("version").get<std::int64_t>();
  run.release = json.at("release").get<std::string>();
  run.created = TimeOf(json.at("created"));
  run.not_before = TimeOf(json.at("not_before"));
  run.started = MaybeTime(json.at("started"));
  run.ended = MaybeTime(json.at("ended"));
  run.deadline = MaybeTime(json.at("deadline"));
  for (const Json& stage : json.at("stages")) run.stages.push_back(StageOf(stage));
  for (const Json& stop : json.at("stops")) run.stops.push_back(OutsideOf(stop));
  return run;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

std::string_view RunStateName(RunState state) { return kRunStates.at(static_cast<std::size_t>(state)); }
std::string_view StageStateName(StageState state) { return kStageStates.at(static_cast<std::size_t>(state)); }
std::string_view ApprovalStateName(Approval::State state) {
  return kApprovalStates.at(static_cast<std::size_t>(state));
}
std::optional<RunState> ParseRunState(std::string_view name) {
  const auto found = std::find(kRunStates.begin(), kRunStates.end(), name);
  if (found == kRunStates.end()) return std::nullopt;
  return static_cast<RunState>(found - kRunStates.begin());
}

std::size_t PipelineRun::Current() const {
  std::size_t index = 0;
  while (index < stages.size() && stages[index].state == StageState::kSucceeded) ++index;
  return index;
}

std::string PipelineRun::ToJson() const {
  Json all = Json::array();
  for (const StageRun& stage : stages) all.push_back(StageJson(stage));
  Json to_stop = Json::array();
  for (const Outside& stop : stops) to_stop.push_back(OutsideJson(stop));
  return Dump({{"id", id},
               {"pipeline", pipeline},
               {"pipeline_revision", pipeline_revision},
               {"model", model},
               {"tenant", tenant.str()},
               {"trigger",
                {{"kind", trigger.kind},
                 {"who", trigger.who},
                 {"at", TimeJson(trigger.at)},
                 {"key", trigger.key},
                 {"detail", trigger.detail},
                 {"joined", trigger.joined}}},
               {"state", RunStateName(state)},
               {"reason", reason},
               {"message", message},
               {"parent", parent ? Json(*parent) : Json(nullptr)},
               {"parent_metrics", parent_metrics},
               {"version", version ? Json(*version) : Json(nullptr)},
               {"release", release},
               {"created", TimeJson(created)},
               {"not_before", TimeJson(not_before)},
               {"started", TimeJson(started)},
               {"ended", TimeJson(ended)},
               {"deadline", TimeJson(deadline)},
               {"stages", std::move(all)},
               {"stops", std::move(to_stop)}});
}

Result<PipelineRun> PipelineRun::FromJson(std::string_view json, std::shared_ptr<const PipelineSpec> spec,
                                          std::string text) {
  const auto invalid = [](const std::string& what) {
    return InvalidArgument("pipeline_run_invalid", "a run that was kept can't be read: " + what);
  };
  try {
    PipelineRun run = RunOf(Json::parse(json));
    if (spec == nullptr || run.stages.size() != spec->stages.size())
      return invalid("it has other stages than its text");
    run.spec = std::move(spec);
    run.text = std::move(text);
    return run;
  } catch (const Json::exception& error) {
    return invalid(error.what());
  } catch (const Wrong& wrong) {
    return invalid(wrong.what);
  }
}

std::string StageResult::ToJson() const {
  Json json = {{"metrics", metrics}};
  if (!output.empty()) json["output"] = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (watch) json["watch"] = OutsideJson(*watch);
  if (version) json["version"] = *version;
  if (!release.empty()) json["release"] = release;
  return Dump(json);
}

Result<StageResult> StageResult::FromJson(std::string_view text) {
  const auto invalid = [](const std::string& what) {
    return InvalidArgument("pipeline_result_invalid", "what a stage came to can't be read: " + what);
  };
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return invalid("it is no object");
    StageResult result;
    if (json.contains("metrics")) result.metrics = json.at("metrics").get<std::map<std::string, double>>();
    for (const auto& [name, value] : result.metrics) {
      if (!std::isfinite(value)) return invalid("the metric '" + name + "' is no finite number");
    }
    if (json.contains("output")) {
      if (!json.at("output").is_object()) return invalid("its output is no object");
      result.output = Dump(json.at("output"));
    }
    if (json.contains("watch")) result.watch = OutsideOf(json.at("watch"));
    if (json.contains("version")) result.version = json.at("version").get<std::int64_t>();
    if (json.contains("release")) result.release = json.at("release").get<std::string>();
    return result;
  } catch (const Json::exception& error) {
    return invalid(error.what());
  } catch (const Wrong& wrong) {
    return invalid(wrong.what);
  }
}

}  // namespace mezzo::lifecycle
