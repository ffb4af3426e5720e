#pragma once

#include "mezzo/api/platform/inference_jobs.h"
#include "mezzo/api/platform/jobs_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/server_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/jobs/dispatcher.h"
#include "mezzo/jobs/housekeeper.h"
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

/// The durable queue of this server, wired: its tables, what runs its jobs, and its protocol.
class JobQueue {
 public:
  /// All outlive the queue.
  struct Ports {
    DataStore& store;
    inference::Service& service;
    const tenancy::Directory& directory;
    runtime::Loop& loop;
    observe::Logger& log;
    observe::Registry& registry;
  };
  JobQueue(const JobsConfig& config, Ports ports);

  [[nodiscard]] net::HttpHandler& handler() { return handler_; }
  void Start();
  /// See Dispatcher::Stop() and WebhookSender::Stop().
  void Stop(Duration grace);

 private:
  api::platform::InferenceJobs inference_;
  jobs::JobMetrics metrics_;
  jobs::JobStore store_;
  jobs::JobReader reader_;
  jobs::JobWatch watch_;
  runtime::BlockingPool pool_;
  jobs::JobService service_;
  api::platform::JobsHandler handler_;
  jobs::Dispatcher dispatcher_;  // Its threads use what is above.
  jobs::WebhookMetrics webhook_metrics_;
  jobs::WebhookStore webhooks_;
  jobs::WebhookSender sender_;  // Its threads too.
  jobs::QueuePruner pruner_;
  jobs::Housekeeper housekeeper_;
};

}  // namespace mezzo::app
