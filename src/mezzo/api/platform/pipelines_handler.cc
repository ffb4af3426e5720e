#include "mezzo/api/platform/pipelines_handler.h"

#include <array>
#include <limits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/api/page_limit.h"
#include "mezzo/api/platform/identity_json.h"
#include "mezzo/api/platform/if_match.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"
#include "mezzo/tenancy/ledger/usage_report.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;
using lifecycle::PipelineDocument;
using lifecycle::PipelineRecord;
using lifecycle::PipelineRun;
using lifecycle::RunCommand;
using net::Method;
using tenancy::Scope;

enum RouteId : int {
  kList,
  kPut,
  kGet,
  kDelete,
  kHistory,
  kRun,
  kRunsOf,
  kRuns,
  kGetRun,
  kEvents,
  kApprove,
  kReject,
  kCancel,
  kRetry,
  kFire
};

constexpr ByteCount kIgnoredBody = 1024;
constexpr ByteCount kSmallBody = 4096;
constexpr ByteCount kMaxEvents = ByteCount{256} << 10;
constexpr std::size_t kUsualPage = 100;
constexpr std::size_t kMaxNote = 512;
// Who may approve, the stage says: a wrong role is told so.
constexpr std::array<Route, 15> kRoutes = {
    Route{Method::kGet, "/v1/pipelines", Scope::kObserve, kIgnoredBody, kList},
    Route{Method::kPut, "/v1/pipelines/*", Scope::kOperate, 2 * lifecycle::kMaxPipelineText, kPut},
    Route{Method::kGet, "/v1/pipelines/*", Scope::kObserve, kIgnoredBody, kGet},
    Route{Method::kDelete, "/v1/pipelines/*", Scope::kOperate, kIgnoredBody, kDelete},
    Route{Method::kGet, "/v1/pipelines/*/history", Scope::kObserve, kIgnoredBody, kHistory},
    Route{Method::kPost, "/v1/pipelines/*/runs", Scope::kOperate, kSmallBody, kRun},
    Route{Method::kGet, "/v1/pipelines/*/runs", Scope::kObserve, kIgnoredBody, kRunsOf},
    Route{Method::kGet, "/v1/pipeline-runs", Scope::kObserve, kIgnoredBody, kRuns},
    Route{Method::kGet, "/v1/pipeline-runs/*", Scope::kObserve, kIgnoredBody, kGetRun},
    Route{Method::kGet, "/v1/pipeline-runs/*/events", Scope::kObserve, kIgnoredBody, kEvents},
    Route{Method::kPost, "/v1/pipeline-runs/*/approve", Scope::kObserve, kSmallBody, kApprove},
    Route{Method::kPost, "/v1/pipeline-runs/*/reject", Scope::kObserve, kSmallBody, kReject},
    Route{Method::kPost, "/v1/pipeline-runs/*/cancel", Scope::kOperate, kSmallBody, kCancel},
    Route{Method::kPost, "/v1/pipeline-runs/*/retry", Scope::kOperate, kSmallBody, kRetry},
    Route{Method::kPost, "/v1/pipeline-events", Scope::kOperate, kMaxEvents, kFire}};

Json TimeJson(WallTime time) {
  return tenancy::TimeText(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}
Json TimeJson(const std::optional<WallTime>& time) { return time ? TimeJson(*time) : Json(nullptr); }
Json OrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }
template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

net::HttpResponse Answered(int status, const Json& json) {
  return net::HttpResponse::Json(status, json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json ToJson(const PipelineRecord& record) {
  Json stages = Json::array();
  if (!record.body.empty()) {
    // As it was checked; what this version of the program can't read any more is shown by its text alone.
    const auto spec = lifecycle::ParseKeptSpec(record.body);
    if (spec.ok()) {
      for (const auto& stage : spec->stages)
        stages.push_back({{"name", stage.name}, {"kind", lifecycle::StageKindName(stage.kind)}});
    }
  }
  Json triggers = Json::array();
  for (const auto& one : record.triggers) {
    Json trigger = {{"kind", one.kind}, {"text", one.text}, {"next_at", TimeJson(one.next)}};
    if (one.watched) {
      const auto& seen = one.watched->seen;
      const auto* taken = seen && seen->taken ? &*seen->taken : nullptr;
      trigger["watched"] = {{"dataset", one.watched->dataset},
                            {"prefix", one.watched->prefix},
                            {"files", taken == nullptr ? Json(nullptr) : Json(taken->files)},
                            {"bytes", taken == nullptr ? Json(nullptr) : Json(taken->bytes)},
                            {"settling", seen && seen->pending},
                            {"runs", seen ? seen->runs : 0},
                            {"error", OrNull(one.watched->error)}};
    }
    triggers.push_back(std::move(trigger));
  }
  Json latest = nullptr;
  if (record.latest) {
    latest = {{"id", record.latest->id},
              {"state", record.latest->state},
              {"created_at", TimeJson(record.latest->created)}};
  }
  return {{"object", "pipeline"},
          {"name", record.name},
          {"kind", record.kind == PipelineDocument::Kind::kTemplate ? "template" : "pipeline"},
          {"description", record.description},
          {"model", OrNull(record.model)},
          {"template", OrNull(record.template_name)},
          {"revision", record.revision},
          {"text", record.text},
          {"stages", std::move(stages)},
          {"triggers", std::move(triggers)},
          {"tenant", record.tenant.str()},
          {"created_at", TimeJson(record.created)},
          {"created_by", record.created_by},
          {"updated_at", TimeJson(record.updated)},
          {"updated_by", record.updated_by},
          {"latest_run", std::move(latest)}};
}

net::HttpResponse Tagged(const PipelineRecord& record) {
  net::HttpResponse response = Answered(200, ToJson(record));
  TagRevision(record.revision, &response);
  return response;
}

std::string_view VerdictName(lifecycle::GateOutcome::Verdict verdict) {
  switch (verdict) {
    case lifecycle::GateOutcome::Verdict::kPassed:
      return "passed";
    case lifecycle::GateOutcome::Verdict::kFailed:
      return "failed";
    case lifecycle::GateOutcome::Verdict::kSkipped:
      break;
  }
  return "skipped";
}

Json StageJson(const lifecycle::StageSpec& spec, const lifecycle::StageRun& stage) {
  Json gates = Json::array();
  for (const auto& gate : stage.gates) {
    gates.push_back({{"gate", gate.gate},
                     {"outcome", VerdictName(gate.verdict)},
                     {"left", OrNull(gate.left)},
                     {"right", OrNull(gate.right)},
                     {"reason", gate.reason}});
  }
  Json approval = nullptr;
  if (spec.approval != lifecycle::ApprovalRole::kNone) {
    approval = {{"role", lifecycle::ApprovalRoleName(spec.approval)},
                {"state", lifecycle::ApprovalStateName(stage.approval.state)},
                {"by", OrNull(stage.approval.by)},
                {"at", TimeJson(stage.approval.at)},
                {"note", stage.approval.note},
                {"until", TimeJson(stage.approval.until)}};
  }
  Json error = nullptr;
  if (stage.error) error = {{"reason", stage.error->reason}, {"message", stage.error->message}};
  Json output = nullptr;
  if (!stage.output.empty()) output = Json::parse(stage.output, nullptr, /*allow_exceptions=*/false);
  return {{"name", spec.name},
          {"kind", lifecycle::StageKindName(spec.kind)},
          {"state", lifecycle::StageStateName(stage.state)},
          {"attempt", stage.attempt},
          {"max_attempts", stage.first_attempt + spec.retries + 1},
          {"job", OrNull(stage.job)},
          {"since", TimeJson(stage.since)},
          {"deadline", TimeJson(stage.deadline)},
          {"retry_at", TimeJson(stage.retry_at)},
          {"error", std::move(error)},
          {"metrics", Json(stage.metrics)},
          {"gates", std::move(gates)},
          {"approval", std::move(approval)},
          {"output", output.is_object() ? std::move(output) : Json(nullptr)}};
}

Json ToJson(const PipelineRun& run) {
  Json stages = Json::array();
  for (std::size_t i = 0; i < run.stages.size(); ++i)
    stages.push_back(StageJson(run.spec->stages[i], run.stages[i]));
  Json detail = Json::parse(run.trigger.detail, nullptr, /*allow_exceptions=*/false);
  return {{"id", run.id},
          {"object", "pipeline.run"},
          {"pipeline", run.pipeline},
          {"revision", run.pipeline_revision},
          {"model", run.model},
          {"tenant", run.tenant.str()},
          {"state", lifecycle::RunStateName(run.state)},
          {"reason", OrNull(run.reason)},
          {"message", run.message},
          {"trigger",
           {{"kind", run.trigger.kind},
            {"who", run.trigger.who},
            {"at", TimeJson(run.trigger.at)},
            {"key", run.trigger.key},
            {"detail", detail.is_object() ? std::move(detail) : Json::object()},
            {"joined", run.trigger.joined}}},
          {"parent", OrNull(run.parent)},
          {"version", OrNull(run.version)},
          {"release", OrNull(run.release)},
          {"created_at", TimeJson(run.created)},
          {"started_at", TimeJson(run.started)},
          {"ended_at", TimeJson(run.ended)},
          {"deadline", TimeJson(run.deadline)},
          {"stages", std::move(stages)}};
}

lifecycle::ApprovalRole RoleOf(const tenancy::Caller& caller) {
  if (caller.Has(Scope::kAdmin)) return lifecycle::ApprovalRole::kAdmin;
  if (caller.Has(Scope::kOperate)) return lifecycle::ApprovalRole::kOperator;
  return lifecycle::ApprovalRole::kNone;
}

Error BadEvent(std::string message) { return InvalidArgument("pipeline_event", std::move(message)); }

/// Of our own form.
Result<lifecycle::TriggerEvent> EventOf(const Json& json, WallTime now) {
  lifecycle::TriggerEvent event{.at = now};
  for (const auto& [name, value] : json.items()) {
    if (name == "kind" || name == "model" || name == "key") {
      if (!value.is_string()) return BadEvent("'" + name + "' must be a text");
      (name == "kind" ? event.kind : name == "model" ? event.model : event.key) = value.get<std::string>();
    } else if (name == "version") {
      if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 9e15)
        return BadEvent("'version' must be a whole number from 1 on");
      event.version = value.get<std::int64_t>();
    } else if (name == "detail") {
      if (!value.is_object()) return BadEvent("'detail' must be an object");
      event.detail = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    } else {
      return BadEvent("'" + Printable(name, 64) +
                      "' is no member of an event: these are kind, model, version, key and detail");
    }
  }
  return event;
}

/// As Alertmanager sends them: each that fires and has a label `model`.
Result<std::vector<lifecycle::TriggerEvent>> AlertsOf(const Json& alerts, WallTime now) {
  constexpr std::size_t kMostAlerts = 100;
  const auto text = [](const Json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!alerts.is_array() || alerts.size() > kMostAlerts)
    return BadEvent("'alerts' must be a list of at most 100");
  std::vector<lifecycle::TriggerEvent> events;
  for (const Json& alert : alerts) {
    if (!alert.is_object()) return BadEvent("'alerts' must be a list of objects");
    if (text(alert, "status") != "firing" || !alert.contains("labels") || !alert["labels"].is_object())
      continue;
    const Json& labels = alert["labels"];
    const std::string model = text(labels, "model");
    if (model.empty()) continue;
    const std::string name = text(labels, "alertname");
    // One that goes on is sent again and again; one that comes back is another.
    std::string key = name + "/" + text(alert, "fingerprint") + "/" + text(alert, "startsAt");
    if (key.size() > 256) key.resize(256);
    Json detail = {{"alert", Printable(name, 200)}, {"started", Printable(text(alert, "startsAt"), 64)}};
    if (alert.contains("annotations") && alert["annotations"].is_object())
      detail["summary"] = Printable(text(alert["annotations"], "summary"), 500);
    events.push_back(
        {.kind = "objective", .model = model, .key = std::move(key), .detail = detail.dump(), .at = now});
  }
  return events;
}

RunCommand CommandOf(int route) {
  switch (route) {
    case kApprove:
      return RunCommand::kApprove;
    case kReject:
      return RunCommand::kReject;
    case kRetry:
      return RunCommand::kRetry;
    default:
      return RunCommand::kCancel;
  }
}

}  // namespace

std::span<const Route> PipelinesHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> PipelinesHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto work = [this, &call]() -> Answer { return Dispatch(call); };
  Answer answer = co_await runtime::Offload(ports_.pool, work);
  const ProblemStatuses statuses{.conflicts = true, .stale = "pipeline_revision"};
  co_return ResponseOf(std::move(answer), statuses);
}

PipelinesHandler::Answer PipelinesHandler::Dispatch(const RoutedCall& call) const {
  if (call.route == kList) return List(call);
  if (call.route == kRuns) return Runs(call, "");
  if (call.route == kFire) return Fire(call);
  const std::string name(call.captures[0]);
  switch (call.route) {
    case kPut:
      return Put(call, name);
    case kGet: {
      MEZZO_TRY(const PipelineRecord record, ports_.store.Get(name, Limit()));
      return Tagged(record);
    }
    case kDelete: {
      MEZZO_TRY_VOID(ports_.store.Delete(name, NameOf(*call.caller), Limit()));
      return Answered(200, {{"object", "pipeline"}, {"name", name}, {"deleted", true}});
    }
    case kHistory:
      return History(call, name);
    case kRun:
      return Run(call, name);
    case kRunsOf: {
      MEZZO_TRY_VOID(ports_.store.Get(name, Limit()));
      return Runs(call, name);
    }
    case kGetRun: {
      MEZZO_TRY(const PipelineRun run, ports_.store.Load(name, Limit()));
      return Answered(200, ToJson(run));
    }
    case kEvents:
      return Events(call, name);
    default:
      return Obey(call, name, CommandOf(call.route));
  }
}

PipelinesHandler::Answer PipelinesHandler::List(const RoutedCall& call) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  MEZZO_TRY(auto found, ports_.store.List(
                            {.model = std::string(call.request->QueryValue("model").value_or("")),
                             .template_name = std::string(call.request->QueryValue("template").value_or("")),
                             .after = std::string(call.request->QueryValue("after").value_or("")),
                             .limit = limit + 1},
                            Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const PipelineRecord& one : found) data.push_back(ToJson(one));
  return Answered(200, {{"object", "list"},
                        {"data", std::move(data)},
                        {"has_more", more},
                        {"next", more ? Json(found.back().name) : Json(nullptr)}});
}

PipelinesHandler::Answer PipelinesHandler::Put(const RoutedCall& call, const std::string& name) const {
  lifecycle::PipelineStore::PutBy by{.who = NameOf(*call.caller),
                                     .why = std::string(call.request->QueryValue("why").value_or("")),
                                     .tenant = call.caller->tenant->id};
  if (by.why.size() > kMaxNote) return Members::Bad("'why' has more than 512 bytes");
  MEZZO_TRY(by.expected, MatchedRevision(*call.request));
  MEZZO_TRY(const PipelineRecord record,
            ports_.store.Put(name, std::string(call.request->body().text()), ports_.rules, by,
                             AddSaturating(ports_.clock.Now(), options_.put_timeout)));
  return Tagged(record);
}

PipelinesHandler::Answer PipelinesHandler::History(const RoutedCall& call, const std::string& name) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  std::int64_t before = 0;
  if (const auto text = call.request->QueryValue("before")) {
    const auto number = ParseUint(*text);
    if (!number || *number == 0 ||
        *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return Members::Bad("'before' must be a revision, a whole number above 0");
    before = static_cast<std::int64_t>(*number);
  }
  MEZZO_TRY(auto found, ports_.store.History(name, before, limit + 1, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const auto& one : found) {
    data.push_back({{"revision", one.revision},
                    {"at", TimeJson(one.at)},
                    {"by", one.who},
                    {"why", one.why},
                    {"kind", one.kind},
                    {"text", one.text}});
  }
  return Answered(200, {{"object", "list"}, {"data", std::move(data)}, {"has_more", more}});
}

PipelinesHandler::Answer PipelinesHandler::Run(const RoutedCall& call, const std::string& name) const {
  static constexpr std::array<std::string_view, 1> kMembers = {"note"};
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  MEZZO_TRY(const auto note, members.Text("note", kMaxNote));
  Json detail = Json::object();
  if (note) detail["note"] = *note;
  MEZZO_TRY(const auto started,
            ports_.store.Start(name,
                               {.kind = "manual",
                                .who = NameOf(*call.caller),
                                .at = ports_.clock.WallNow(),
                                .key = "",
                                .detail = detail.dump(-1, ' ', false, Json::error_handler_t::replace)},
                               Limit()));
  return Answered(started.joined ? 200 : 201, ToJson(started.run));
}

PipelinesHandler::Answer PipelinesHandler::Runs(const RoutedCall& call, const std::string& pipeline) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page - 1));
  lifecycle::PipelineStore::RunQuery query{
      .pipeline = pipeline,
      .before = std::string(call.request->QueryValue("before").value_or("")),
      .limit = limit + 1};
  if (pipeline.empty()) query.model = call.request->QueryValue("model").value_or("");
  if (const auto state = call.request->QueryValue("state")) {
    query.state = lifecycle::ParseRunState(*state);
    if (!query.state)
      return Members::Bad("'state' must be queued, running, waiting, succeeded, failed or cancelled, not '" +
                          Printable(*state, 32) + "'");
  }
  MEZZO_TRY(auto found, ports_.store.Runs(query, Limit()));
  const bool more = found.size() > limit;
  if (more) found.resize(limit);
  Json data = Json::array();
  for (const PipelineRun& one : found) data.push_back(ToJson(one));
  return Answered(200, {{"object", "list"},
                        {"data", std::move(data)},
                        {"has_more", more},
                        {"last_id", found.empty() ? Json(nullptr) : Json(found.back().id)}});
}

PipelinesHandler::Answer PipelinesHandler::Events(const RoutedCall& call, const std::string& id) const {
  MEZZO_TRY(const std::size_t limit, PageLimit(*call.request, kUsualPage, options_.max_page));
  MEZZO_TRY_VOID(ports_.store.Load(id, Limit()));
  MEZZO_TRY(const auto events, ports_.store.Events(id, limit, Limit()));
  Json data = Json::array();
  for (const auto& event : events) {
    data.push_back({{"at", TimeJson(event.at)},
                    {"kind", event.kind},
                    {"stage", OrNull(event.stage)},
                    {"who", event.who},
                    {"text", event.text}});
  }
  return Answered(200, {{"object", "list"}, {"data", std::move(data)}});
}

PipelinesHandler::Answer PipelinesHandler::Obey(const RoutedCall& call, const std::string& id,
                                                RunCommand command) const {
  static constexpr std::array<std::string_view, 2> kMembers = {"stage", "note"};
  MEZZO_TRY(const Members members, Members::Parse(call.request->body().text(), kMembers));
  MEZZO_TRY(auto stage, members.Text("stage", 64));
  MEZZO_TRY(auto note, members.Text("note", kMaxNote));
  MEZZO_TRY(const PipelineRun run, ports_.store.Command(id,
                                                        {.command = command,
                                                         .stage = std::move(stage).value_or(""),
                                                         .who = NameOf(*call.caller),
                                                         .role = RoleOf(*call.caller),
                                                         .note = std::move(note).value_or("")},
                                                        Limit()));
  return Answered(200, ToJson(run));
}

PipelinesHandler::Answer PipelinesHandler::Fire(const RoutedCall& call) const {
  const Json json = Json::parse(call.request->body().text(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadEvent("the body must be an object");
  std::vector<lifecycle::TriggerEvent> events;
  if (json.contains("alerts")) {
    MEZZO_TRY(events, AlertsOf(json["alerts"], ports_.clock.WallNow()));
  } else {
    MEZZO_TRY(lifecycle::TriggerEvent event, EventOf(json, ports_.clock.WallNow()));
    events.push_back(std::move(event));
  }
  Json data = Json::array();
  for (const lifecycle::TriggerEvent& event : events) {
    MEZZO_TRY(const auto fired, ports_.store.FireEvent(event, NameOf(*call.caller), Limit()));
    data.push_back({{"kind", event.kind},
                    {"model", event.model},
                    {"key", event.key},
                    {"known", fired.known},
                    {"runs", fired.runs}});
  }
  return Answered(200, {{"object", "list"}, {"data", std::move(data)}});
}

}  // namespace mezzo::api::platform
