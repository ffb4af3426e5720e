#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mezzo/api/platform/pipelines_handler.h"
#include "mezzo/app/artifact_store.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/job_queue.h"
#include "mezzo/app/model_registry.h"
#include "mezzo/app/release_control.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/version_loads.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/lifecycle/command_runner.h"
#include "mezzo/lifecycle/data_watcher.h"
#include "mezzo/lifecycle/datasets.h"
#include "mezzo/lifecycle/pipeline_controller.h"
#include "mezzo/lifecycle/pipeline_ports.h"
#include "mezzo/lifecycle/pipeline_store.h"
#include "mezzo/lifecycle/pipeline_worker.h"
#include "mezzo/lifecycle/retirer.h"
#include "mezzo/observe/log.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::app {

/// Runs stages' jobs. Made before the queue, connected later. Thread-safe once connected.
class PipelineJobs final : public jobs::JobHandler {
 public:
  static constexpr const char* kKind = "pipeline_stage";
  /// Once, before the queue starts. `worker` outlives the queue's threads.
  void Connect(lifecycle::PipelineWorker& worker) { worker_ = &worker; }
  /// Nobody queues such jobs but the driver of pipelines, which does not ask: kPermissionDenied
  /// "pipeline_job_internal".
  Result<jobs::JobEstimate> Check(const TenantId& tenant, const std::string& request) override;
  Result<std::string> Run(jobs::JobRun& run) override;

 private:
  lifecycle::PipelineWorker* worker_ = nullptr;
};

/// The durable queue in the words of pipelines. Thread-safe; blocks.
class QueuedStages final : public lifecycle::StageJobs {
 public:
  explicit QueuedStages(JobQueue& jobs) : jobs_(jobs) {}
  Result<std::string> Submit(const TenantId& tenant, const lifecycle::StageJob& job, const std::string& model,
                             TimePoint deadline) override;
  Result<View> Look(const TenantId& tenant, const std::string& id, TimePoint deadline) override;
  Result<void> Cancel(const TenantId& tenant, const std::string& id, TimePoint deadline) override;

 private:
  JobQueue& jobs_;
};

/// Routes, releases and tests of versions in the words of pipelines. Thread-safe; blocks.
class PlatformWorld final : public lifecycle::PipelineWorld {
 public:
  /// All outlive this.
  struct Ports {
    lifecycle::RegistryStore& registry;
    lifecycle::VersionHosting& hosting;
    releases::RouteStore& routes;
    releases::ReleaseStore& releases;
    const VersionLoads& loads;
    const Clock& clock;
  };
  explicit PlatformWorld(Ports ports) : ports_(ports), writer_(ports.routes) {}
  Result<Serving> ServingOf(const std::string& model, TimePoint deadline) override;
  Result<Watched> Look(const std::string& model, const lifecycle::Outside& what, TimePoint deadline) override;
  Result<std::optional<lifecycle::Outside>> Release(const std::string& id, const lifecycle::PipelineRun& run,
                                                    const lifecycle::StageSpec& stage, std::int64_t version,
                                                    TimePoint deadline) override;
  Result<void> StopRelease(const std::string& id, const std::string& who, TimePoint deadline) override;

 private:
  /// The number of the version that the route names as stable; nothing without a route.
  Result<std::optional<std::int64_t>> StableOf(const std::string& model, TimePoint deadline);

  const Ports ports_;
  StoredRoutes writer_;
};

/// Pipelines, wired: their tables, what drives them, what does their stages' work, and the protocol.
class Pipelines {
 public:
  /// All outlive this.
  struct Ports {
    DataStore& store;
    JobQueue& jobs;
    PipelineJobs& handler;
    ModelRegistry& registry;
    ArtifactStore& artifacts;
    releases::RouteStore& routes;
    const VersionLoads& loads;
    observe::Logger& log;
    observe::Registry& metrics;
  };
  /// Fails with kUnavailable "pipeline_folder".
  static Result<std::unique_ptr<Pipelines>> Open(const ServerConfig& config, Ports ports);

  [[nodiscard]] api::Protocol& handler() { return handler_; }
  /// Where drift and objectives fire.
  [[nodiscard]] lifecycle::TriggerSink& triggers() { return store_; }
  void Start();
  /// Before the queue and the database stop.
  void Stop();

 private:
  Pipelines(const ServerConfig& config, Ports ports);

  std::map<std::string, lifecycle::CommandRule> commands_;
  lifecycle::PipelineStore store_;
  QueuedStages jobs_;
  releases::ReleaseStore releases_;
  PlatformWorld world_;
  lifecycle::CommandRunner runner_;
  lifecycle::PipelineWorker worker_;
  runtime::BlockingPool pool_;
  api::platform::PipelinesHandler handler_;
  lifecycle::FolderDatasets datasets_;
  const bool watches_;  // This host's configuration has datasets.
  lifecycle::DataWatcher watcher_;
  lifecycle::PipelineController controller_;  // Last: their threads use what is above.
};

}  // namespace mezzo::app
