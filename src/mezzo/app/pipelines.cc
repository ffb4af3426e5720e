#include "mezzo/app/pipelines.h"

#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/jobs/webhook_events.h"
#include "mezzo/jobs/webhook_target.h"

namespace mezzo::app {
namespace {

using lifecycle::Outside;
using lifecycle::RunObservation;

constexpr Duration kLoadLimit = std::chrono::minutes(5);
constexpr double kPerPercent = 100;  // Weights are in 1/10,000.

std::map<std::string, lifecycle::CommandRule> CommandsOf(const PipelinesConfig& config) {
  std::map<std::string, lifecycle::CommandRule> rules;
  for (const auto& [name, one] : config.commands) {
    rules[name] = {.argv = one.argv,
                   .max_arguments = one.max_arguments,
                   .fixed = one.set,
                   .environment = one.environment,
                   .read = one.read,
                   .memory = one.memory,
                   .max_time = one.max_time,
                   .confine = one.confine,
                   .network = one.network};
  }
  return rules;
}

std::map<std::string, lifecycle::DatasetRule> DatasetsOf(const PipelinesConfig& config) {
  std::map<std::string, lifecycle::DatasetRule> rules;
  for (const auto& [name, one] : config.datasets)
    rules[name] = {.folder = one.folder, .max_files = one.max_files};
  return rules;
}

lifecycle::PipelineRules RulesOf(const PipelinesConfig& config,
                                 const std::map<std::string, lifecycle::CommandRule>& commands) {
  lifecycle::PipelineRules rules = lifecycle::RulesOf(commands);
  for (const auto& [name, one] : config.datasets) rules.datasets.insert(name);
  return rules;
}

lifecycle::PipelineStore::Ports StorePorts(const Pipelines::Ports& ports) {
  const Clock& clock = ports.store.clock();
  return {
      .db = ports.store.db(),
      .clock = clock,
      .outbox =
          [&clock](storage::SqlSession& session, const std::vector<lifecycle::PipelineNotice>& notices) {
            std::vector<jobs::OutboxEvent> events;
            events.reserve(notices.size());
            for (const lifecycle::PipelineNotice& notice : notices) {
              events.push_back({.id = notice.id,
                                .subject = notice.run,
                                .tenant = notice.tenant,
                                .type = notice.type,
                                .body = notice.body,
                                .url = notice.url});
            }
            return jobs::AddWebhookEvents(session, events, clock.WallNow());
          },
      .check_webhook = [&queue = ports.jobs](const TenantId& tenant, const std::string& url) -> Result<void> {
        MEZZO_TRY_VOID(jobs::CheckWebhookTarget({.url = url, .secret = ""}));
        if (queue.signs_webhooks(tenant)) return {};
        return FailedPrecondition("pipeline_webhook",
                                  "tenant '" + tenant.str() + "' has no webhook_secrets to sign it with");
      }};
}

lifecycle::CommandRunner::Options RunnerOptions(
    const ServerConfig& config, const std::map<std::string, lifecycle::CommandRule>& commands) {
  lifecycle::CommandRunner::Options options;
  options.folder = config.data_dir + "/pipelines";
  options.commands = commands;
  options.files = ManifestLimitsOf(config.registry);
  return options;
}

std::map<std::string, double> NumbersOf(const std::string& metrics) {
  std::map<std::string, double> numbers;
  const auto json = nlohmann::json::parse(metrics, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return numbers;
  for (const auto& [name, value] : json.items()) {
    if (value.is_number()) numbers[name] = value.get<double>();
  }
  return numbers;
}

bool IsUnknown(const Error& error) { return error.code() == Code::kNotFound; }

}  // namespace

// --- Jobs

Result<jobs::JobEstimate> PipelineJobs::Check(const TenantId& /*tenant*/, const std::string& /*request*/) {
  return PermissionDenied(
      "pipeline_job_internal",
      "jobs of kind 'pipeline_stage' belong to runs of pipelines: POST /v1/pipelines/{name}/runs");
}

Result<std::string> PipelineJobs::Run(jobs::JobRun& run) {
  if (worker_ == nullptr) return Unavailable("shutting_down", "pipelines are not there yet");
  MEZZO_TRY(lifecycle::StageJob job, lifecycle::StageJob::FromJson(run.job().request));
  const auto kept = nlohmann::json::parse(run.job().checkpoint, nullptr, /*allow_exceptions=*/false);
  lifecycle::PipelineWorker::Task task;
  task.job = std::move(job);
  task.id = run.job().fence.id.str();
  task.checkpoint = kept.is_string() ? kept.get<std::string>() : "";
  task.cancelled = [&run] { return run.cancelled(); };
  task.keep = [&run](const std::string& checkpoint) {
    return run.SaveCheckpoint(nlohmann::json(checkpoint).dump());
  };
  return worker_->Work(task);
}

Result<std::string> QueuedStages::Submit(const TenantId& tenant, const lifecycle::StageJob& job,
                                         const std::string& /*model*/, TimePoint deadline) {
  jobs::NewJob fresh;
  fresh.tenant = tenant;
  fresh.kind = PipelineJobs::kKind;
  fresh.tier = jobs::Tier::kPaid;
  fresh.request = job.ToJson();
  // Callers' own keys have no '/'.
  fresh.idempotency_key =
      "pipeline/" + job.run + "/" + std::to_string(job.stage) + "/" + std::to_string(job.attempt);
  fresh.fingerprint = fresh.request;
  MEZZO_TRY(auto outcomes, jobs_.store().Enqueue(std::span(&fresh, 1), deadline));
  MEZZO_TRY(const jobs::JobStore::Submitted submitted, std::move(outcomes.front()));
  return submitted.id.str();
}

Result<lifecycle::StageJobs::View> QueuedStages::Look(const TenantId& tenant, const std::string& id,
                                                      TimePoint deadline) {
  const auto found = jobs_.reader().Get(tenant, jobs::JobId(id), deadline);
  if (!found.ok() && IsUnknown(found.error())) return View{.state = RunObservation::Job::kMissing};
  if (!found.ok()) return found.error();
  View view;
  switch (found->state) {
    case jobs::JobState::kSucceeded:
      view.state = RunObservation::Job::kSucceeded;
      view.result = found->result;
      break;
    case jobs::JobState::kFailed:
      view.state = RunObservation::Job::kFailed;
      if (found->error) view.failure = {.reason = found->error->reason, .message = found->error->message};
      break;
    case jobs::JobState::kCancelled:
      view.state = RunObservation::Job::kCancelled;
      break;
    default:
      break;
  }
  return view;
}

Result<void> QueuedStages::Cancel(const TenantId& tenant, const std::string& id, TimePoint deadline) {
  const auto cancelled = jobs_.store().Cancel(tenant, jobs::JobId(id), deadline);
  if (!cancelled.ok() && !IsUnknown(cancelled.error())) return cancelled.error();
  return {};
}

// --- Routes, releases, tests

Result<std::optional<std::int64_t>> PlatformWorld::StableOf(const std::string& model, TimePoint deadline) {
  const auto route = ports_.routes.Get(model, deadline);
  if (!route.ok() && IsUnknown(route.error())) return std::optional<std::int64_t>();
  if (!route.ok()) return route.error();
  const releases::VersionName& stable = route->route.stable;
  if (stable.kind == releases::VersionName::Kind::kNumber) return std::optional(stable.number);
  const bool alias = stable.kind == releases::VersionName::Kind::kAlias;
  const auto found =
      ports_.registry.Resolve(model, alias ? stable.alias : std::string(lifecycle::kLatest), deadline);
  if (!found.ok() && IsUnknown(found.error())) return std::optional<std::int64_t>();
  if (!found.ok()) return found.error();
  return std::optional(found->version);
}

Result<lifecycle::PipelineWorld::Serving> PlatformWorld::ServingOf(const std::string& model,
                                                                   TimePoint deadline) {
  Serving serving;
  MEZZO_TRY(serving.version, StableOf(model, deadline));
  if (!serving.version) return serving;
  const auto version = ports_.registry.GetVersion(model, *serving.version, deadline);
  if (version.ok()) {
    serving.metrics = NumbersOf(version->lineage.metrics);
  } else if (!IsUnknown(version.error())) {  // One of a folder has no lineage.
    return version.error();
  }
  return serving;
}

Result<lifecycle::PipelineWorld::Watched> PlatformWorld::Look(const std::string& model, const Outside& what,
                                                              TimePoint deadline) {
  using State = lifecycle::VersionState;
  Watched watched;
  if (what.kind == Outside::Kind::kVersion) {
    const auto number = ParseUint(what.id);
    if (!number)
      return InvalidArgument("pipeline_result_invalid", "'" + Printable(what.id) + "' is no version");
    const auto version = ports_.registry.GetVersion(model, static_cast<std::int64_t>(*number), deadline);
    if (!version.ok() && !IsUnknown(version.error())) return version.error();
    const std::string name = "version " + what.id + " of '" + model + "'";
    if (!version.ok()) {
      watched = {.state = RunObservation::Watched::kFailed,
                 .failure = {.reason = "pipeline_version_missing", .message = name + " is gone"}};
    } else if (version->state == State::kReady) {
      watched.state = RunObservation::Watched::kSucceeded;
    } else if (version->state == State::kRejected || version->state == State::kArchived) {
      watched = {
          .state = RunObservation::Watched::kFailed,
          .failure = {.reason = "pipeline_version_rejected",
                      .message = name + " is " + std::string(lifecycle::VersionStateName(version->state)) +
                                 (version->reason.empty() ? "" : ": " + version->reason)}};
    }
    return watched;
  }
  const auto kept = ports_.releases.Load(what.id, deadline);
  if (!kept.ok() && !IsUnknown(kept.error())) return kept.error();
  if (!kept.ok()) {
    watched = {
        .state = RunObservation::Watched::kFailed,
        .failure = {.reason = "pipeline_release_failed", .message = "release '" + what.id + "' is gone"}};
    return watched;
  }
  const releases::Release& release = kept->release;
  if (!releases::IsEnded(release.state)) return watched;
  if (release.state == releases::ReleaseState::kSucceeded) {
    watched.state = RunObservation::Watched::kSucceeded;
    return watched;
  }
  watched = {
      .state = RunObservation::Watched::kFailed,
      .failure = {.reason = release.state == releases::ReleaseState::kRolledBack ? "pipeline_rolled_back"
                                                                                 : "pipeline_release_failed",
                  .message = "release '" + what.id + "' is " +
                             std::string(releases::StateName(release.state)) + ": " + release.reason}};
  return watched;
}

Result<std::optional<Outside>> PlatformWorld::Release(const std::string& id,
                                                      const lifecycle::PipelineRun& run,
                                                      const lifecycle::StageSpec& stage, std::int64_t version,
                                                      TimePoint deadline) {
  const Outside release{.kind = Outside::Kind::kRelease, .id = id};
  const auto known = ports_.releases.Load(id, deadline);
  if (known.ok()) return std::optional(release);  // Begun before a crash.
  if (!IsUnknown(known.error())) return known.error();
  // Here at least; other hosts fetch what a route or a release names.
  MEZZO_TRY_VOID(ports_.hosting.Serve(run.model, version, deadline));
  MEZZO_TRY(const std::optional<std::int64_t> stable, StableOf(run.model, deadline));
  const std::string who = "pipeline " + run.pipeline;
  if (stable == version) return std::optional<Outside>();
  if (!stable) {
    const TimePoint until = std::min(deadline, AddSaturating(ports_.clock.Now(), kLoadLimit));
    MEZZO_TRY_VOID(ports_.loads.LoadAndWait(run.model, std::to_string(version), until));
    releases::Route route;
    route.stable = releases::VersionName::Number(version);
    MEZZO_TRY_VOID(ports_.routes.Put(run.model, route,
                                     {.who = who, .why = "the first version, by run " + run.id}, deadline));
    return std::optional<Outside>();
  }
  releases::ReleaseSpec spec;
  spec.model = run.model;
  spec.stable = std::to_string(*stable);
  spec.candidate = std::to_string(version);
  if (stage.strategy == "blue_green") spec.strategy = releases::Strategy::kBlueGreen;
  if (!stage.steps.empty()) {
    spec.steps.clear();
    for (const double percent : stage.steps)
      spec.steps.push_back({.weight = static_cast<std::uint32_t>(std::lround(percent * kPerPercent))});
  }
  for (releases::ReleaseStep& step : spec.steps) {
    if (stage.step_time) step.min_duration = *stage.step_time;
    if (stage.min_calls) step.min_calls = *stage.min_calls;
  }
  if (stage.settle) spec.settle = *stage.settle;
  spec.step_limit = std::max(spec.step_limit, stage.time_limit);
  MEZZO_TRY_VOID(releases::BeginRelease(ports_.releases, std::move(spec), id, who, ports_.clock, deadline));
  return std::optional(release);
}

Result<void> PlatformWorld::StopRelease(const std::string& id, const std::string& who, TimePoint deadline) {
  const auto stopped = releases::CommandRelease(ports_.releases, writer_, id, releases::Command::kRollBack,
                                                "", who, ports_.clock, deadline);
  if (stopped.ok() || stopped.error().reason() == "release_ended" || IsUnknown(stopped.error())) return {};
  if (stopped.error().reason() != "release_state") return stopped.error();
  // Before it had any call there is nothing to roll back.
  const auto cancelled = releases::CommandRelease(ports_.releases, writer_, id, releases::Command::kCancel,
                                                  "", who, ports_.clock, deadline);
  if (cancelled.ok() || cancelled.error().reason() == "release_ended") return {};
  return cancelled.error();
}

// --- All of it

Pipelines::Pipelines(const ServerConfig& config, Ports ports)
    : commands_(CommandsOf(config.pipelines)),
      store_({}, StorePorts(ports)),
      jobs_(ports.jobs),
      releases_(ports.store.db(), ports.store.clock()),
      world_({.registry = ports.registry.store(),
              .hosting = ports.registry.hosting(),
              .routes = ports.routes,
              .releases = releases_,
              .loads = ports.loads,
              .clock = ports.store.clock()}),
      runner_(RunnerOptions(config, commands_),
              {.blobs = ports.artifacts.lasting(), .clock = ports.store.clock()}),
      worker_({.files = ManifestLimitsOf(config.registry)}, {.store = store_,
                                                             .registry = ports.registry.store(),
                                                             .uploads = ports.registry.uploads(),
                                                             .blobs = ports.artifacts.lasting(),
                                                             .runner = runner_,
                                                             .world = world_,
                                                             .retirer = ports.registry.retirement(),
                                                             .clock = ports.store.clock()}),
      pool_({.name = "pipelines", .threads = 2, .max_queued = 256}),
      handler_({}, {.store = store_,
                    .rules = RulesOf(config.pipelines, commands_),
                    .pool = pool_,
                    .clock = ports.store.clock()}),
      datasets_(DatasetsOf(config.pipelines), ports.store.clock()),
      watches_(!config.pipelines.datasets.empty()),
      watcher_({.host = NewUuidV7(ports.store.clock().WallNow()), .period = config.pipelines.data_period},
               {.store = store_,
                .datasets = datasets_,
                .clock = ports.store.clock(),
                .log = ports.log,
                .metrics = ports.metrics}),
      controller_({.driver = {.max_commands = config.pipelines.max_commands}},
                  {.driver = {.store = store_, .jobs = jobs_, .world = world_, .clock = ports.store.clock()},
                   .db = ports.store.db(),
                   .registry = ports.metrics,
                   .log = ports.log},
                  NewUuidV7(ports.store.clock().WallNow())) {
  ports.handler.Connect(worker_);
}

void Pipelines::Start() {
  controller_.Start();
  if (watches_) watcher_.Start();
}

void Pipelines::Stop() {
  watcher_.Stop();
  controller_.Stop();
}

Result<std::unique_ptr<Pipelines>> Pipelines::Open(const ServerConfig& config, Ports ports) {
  std::unique_ptr<Pipelines> pipelines(new Pipelines(config, ports));
  MEZZO_TRY_VOID(pipelines->runner_.Open());
  return pipelines;
}

}  // namespace mezzo::app
