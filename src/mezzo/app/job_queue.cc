#include "mezzo/app/job_queue.h"

namespace mezzo::app {
namespace {

/// Threads that wait for the database; commits of calls that wait together share one fsync.
constexpr std::size_t kDatabaseThreads = 16;
constexpr std::size_t kMaxWaitingCalls = 4096;

jobs::WebhookSender::Options SenderOptions(const JobsConfig& config) {
  jobs::WebhookSender::Options options;
  if (config.webhooks_to_private) options.reach = net::AddressGuard::Reach::kPrivate;
  options.allow_http = config.webhooks_over_http;
  return options;
}

}  // namespace

JobQueue::JobQueue(const JobsConfig& config, Ports ports)
    : inference_({.service = ports.service, .directory = ports.directory, .loop = ports.loop}),
      metrics_(ports.registry),
      store_({.lease = config.lease}, ports.store.db(), ports.store.clock()),
      reader_(ports.store.db()),
      watch_(ports.store.db()),
      pool_({.name = "sql", .threads = kDatabaseThreads, .max_queued = kMaxWaitingCalls}),
      service_(
          {.max_queued = config.max_queued},
          {.store = store_, .reader = reader_, .watch = watch_, .pool = pool_, .clock = ports.store.clock()},
          {{"inference", &inference_}}),
      handler_({}, {.service = service_, .directory = ports.directory, .clock = ports.store.clock()}),
      dispatcher_({.slots = config.slots},
                  {.store = store_,
                   .db = ports.store.db(),
                   .clock = ports.store.clock(),
                   .log = ports.log,
                   .metrics = metrics_},
                  {{"inference", &inference_}}),
      webhook_metrics_(ports.registry),
      webhooks_({}, ports.store.db(), ports.store.clock()),
      sender_(SenderOptions(config), dispatcher_.host(),
              {.store = webhooks_,
               .db = ports.store.db(),
               .clock = ports.store.clock(),
               .log = ports.log,
               .metrics = webhook_metrics_,
               .secrets_of = [](const TenantId&) { return std::vector<std::string>(); }}),
      pruner_({.job_retention = config.retention}, ports.store.db(), ports.store.clock()),
      housekeeper_(
          {}, {.pruner = pruner_, .clock = ports.store.clock(), .db = ports.store.db(), .log = ports.log}) {}

void JobQueue::Start() {
  dispatcher_.Start();
  sender_.Start();
  housekeeper_.Start();
}

void JobQueue::Stop(Duration grace) {
  housekeeper_.Stop();
  dispatcher_.Stop(grace);
  sender_.Stop(grace);
}

}  // namespace mezzo::app
