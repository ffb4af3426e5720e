#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "mezzo/api/openai/images_handler.h"
#include "mezzo/api/openai/media_jobs.h"
#include "mezzo/api/openai/videos_handler.h"
#include "mezzo/api/platform/inference_jobs.h"
#include "mezzo/api/platform/jobs_handler.h"
#include "mezzo/api/platform/uploads_handler.h"
#include "mezzo/app/artifact_store.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/generation_jobs.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/warm_models.h"
#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/jobs/dispatcher.h"
#include "mezzo/jobs/housekeeper.h"
#include "mezzo/jobs/job_cache.h"
#include "mezzo/jobs/job_metrics.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/jobs/job_service.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/job_watch.h"
#include "mezzo/jobs/queue_pruner.h"
#include "mezzo/jobs/webhook_metrics.h"
#include "mezzo/jobs/webhook_sender.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::app {

/// The durable queue of this server, wired: its tables, what runs its jobs, and the protocols over it.
class JobQueue {
 public:
  /// All outlive the queue.
  struct Ports {
    DataStore& store;
    ArtifactStore& artifacts;
    inference::Service& service;
    sched::DeviceExecutor& executor;
    runtime::BlockingPool& codec_pool;
    media::PictureCodec& codec;
    const tenancy::Directory& directory;
    tenancy::Limiter& limiter;
    runtime::Loop& loop;
    observe::Logger& log;
    observe::Registry& registry;
    WebhookSecrets webhook_secrets;
    tenancy::Ledger* ledger = nullptr;
    cache::RecentItems* recent = nullptr;  ///< Keeps jobs that have ended; null: none are kept.
    /// As GenerationJobs::Ports::pick.
    std::function<inference::VersionPick(const tenancy::Tenant&, std::string_view model)> pick = nullptr;
    std::map<std::string, jobs::JobHandler*, std::less<>> more = {};  ///< Of further kinds.
  };
  JobQueue(const ServerConfig& config, Ports ports);

  [[nodiscard]] api::Protocol& handler() { return handler_; }
  [[nodiscard]] api::Protocol& images() { return images_; }
  [[nodiscard]] api::Protocol& videos() { return videos_; }
  [[nodiscard]] api::Protocol& uploads() { return uploads_; }
  /// For who queues jobs beside the protocols.
  [[nodiscard]] jobs::JobStore& store() { return store_; }
  [[nodiscard]] jobs::JobReader& reader() { return reader_; }
  /// Whether webhooks of the tenant can be signed.
  [[nodiscard]] bool signs_webhooks(const TenantId& tenant) const {
    return webhook_secrets_.contains(tenant);
  }
  void Start();
  /// See Dispatcher::Stop() and WebhookSender::Stop().
  void Stop(Duration grace);

 private:
  /// Who queued a job: its key, or somebody of its project while the key is not known any more; null when the
  /// tenant is not.
  static tenancy::CallerRef FindCaller(const tenancy::Directory& directory, const TenantId& tenant,
                                       const ProjectId& project, const KeyId& key);
  /// Puts right what limits on cost have counted for a job: measured now, predicted when it was let in.
  static void Settle(tenancy::Limiter& limiter, const tenancy::Directory& directory,
                     const jobs::LeasedJob& job, const jobs::RunEnd& end);
  [[nodiscard]] jobs::Dispatcher::Options DispatcherOptions(const ServerConfig& config, const Ports& ports);
  [[nodiscard]] std::vector<std::string> SecretsOf(const TenantId& tenant) const;
  /// What runs jobs, by kind.
  [[nodiscard]] std::map<std::string, jobs::JobHandler*, std::less<>> handlers();

  const WebhookSecrets webhook_secrets_;
  const std::map<std::string, jobs::JobHandler*, std::less<>> more_;
  api::platform::InferenceJobs inference_;
  jobs::JobMetrics metrics_;
  jobs::JobStore store_;
  jobs::JobReader reader_;
  GenerationJobs generation_;
  jobs::JobWatch watch_;
  std::unique_ptr<jobs::JobCache> cache_;  // Null: none are kept.
  runtime::BlockingPool pool_;
  jobs::JobService service_;
  api::platform::JobsHandler handler_;
  api::openai::MediaJobs media_;
  api::openai::ImagesHandler images_;
  api::openai::VideosHandler videos_;
  api::platform::UploadsHandler uploads_;
  WarmModels warm_;
  jobs::Dispatcher dispatcher_;  // Its threads use what is above.
  jobs::WebhookMetrics webhook_metrics_;
  jobs::WebhookStore webhooks_;
  jobs::WebhookSender sender_;  // Its threads too.
  jobs::QueuePruner pruner_;
  jobs::Housekeeper housekeeper_;
};

}  // namespace mezzo::app
