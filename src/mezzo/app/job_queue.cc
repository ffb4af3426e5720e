#include "mezzo/app/job_queue.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace mezzo::app {
namespace {

/// Threads that wait for the database; commits of calls that wait together share one fsync.
constexpr std::size_t kDatabaseThreads = 16;
constexpr std::size_t kMaxWaitingCalls = 4096;

jobs::JobStore::Options StoreOptions(const JobsConfig& config, tenancy::Ledger* ledger) {
  jobs::JobStore::Options options;
  options.lease = config.lease;
  if (ledger == nullptr) return options;
  // As those that end with a run are charged by the dispatcher.
  options.on_runless_end = [ledger](const jobs::RunlessEnd& job) {
    ledger
        ->AccountFor({.tenant = job.tenant.str(),
                      .project = job.project.str(),
                      .key_id = job.key.str(),
                      .model = job.model,
                      .version = "",
                      .kind = "job"})
        .Add({.requests = 1, .failed = 1});
  };
  return options;
}

jobs::WebhookSender::Options SenderOptions(const JobsConfig& config) {
  jobs::WebhookSender::Options options;
  if (config.webhooks_to_private) options.reach = net::AddressGuard::Reach::kPrivate;
  options.allow_http = config.webhooks_over_http;
  return options;
}

api::openai::ImagesHandler::Options ImageOptions(const ServerConfig& config) {
  api::openai::ImagesHandler::Options options;
  options.max_form = config.http.max_body;
  options.url_lifetime = config.artifacts.url_ttl;
  return options;
}

api::openai::VideosHandler::Options VideoOptions(const ServerConfig& config) {
  api::openai::VideosHandler::Options options;
  options.max_body = config.http.max_body;
  if (config.artifacts.retention_days > 0)
    options.retention = std::chrono::hours(24) * static_cast<std::int64_t>(config.artifacts.retention_days);
  return options;
}

api::platform::UploadsHandler::Options UploadOptions(const ServerConfig& config) {
  api::platform::UploadsHandler::Options options;
  options.max_body = std::min<ByteCount>(options.max_body, config.http.max_body);
  return options;
}

}  // namespace

JobQueue::JobQueue(const ServerConfig& config, Ports ports)
    : webhook_secrets_(std::move(ports.webhook_secrets)),
      more_(std::move(ports.more)),
      inference_({}, {.service = ports.service,
                      .directory = ports.directory,
                      .artifacts = ports.artifacts.store(),
                      .loop = ports.loop,
                      .clock = ports.store.clock()}),
      metrics_(ports.registry),
      store_(StoreOptions(config.jobs, ports.ledger), ports.store.db(), ports.store.clock()),
      reader_(ports.store.db()),
      generation_(config.data_dir, config.jobs,
                  {.catalog = ports.service.catalog(),
                   .executor = ports.executor,
                   .pool = ports.codec_pool,
                   .codec = ports.codec,
                   .loop = ports.loop,
                   .directory = ports.directory,
                   .artifacts = ports.artifacts.store(),
                   .reader = reader_,
                   .clock = ports.store.clock(),
                   .ledger = ports.ledger,
                   .pick = std::move(ports.pick),
                   .scope = ports.scope}),
      watch_(ports.store.db()),
      cache_(
          ports.recent == nullptr || !ports.recent->enabled()
              ? nullptr
              : std::make_unique<jobs::JobCache>(jobs::JobCache::Options{.retention = config.jobs.retention},
                                                 *ports.recent, ports.store.db(), ports.store.clock())),
      pool_({.name = "sql", .threads = kDatabaseThreads, .max_queued = kMaxWaitingCalls}),
      service_(
          {.max_queued = config.jobs.max_queued},
          {.store = store_,
           .reader = reader_,
           .watch = watch_,
           .pool = pool_,
           .clock = ports.store.clock(),
           .signs_webhooks = [this](const TenantId& tenant) { return webhook_secrets_.contains(tenant); },
           .limiter = &ports.limiter,
           .find_caller = [&directory = ports.directory](
                              const TenantId& tenant, const ProjectId& project,
                              const KeyId& key) { return FindCaller(directory, tenant, project, key); },
           .cache = cache_.get()},
          handlers()),
      handler_({}, {.service = service_, .clock = ports.store.clock(), .artifacts = &ports.artifacts.list()}),
      media_({}, {.jobs = service_,
                  .artifacts = ports.artifacts.store(),
                  .pool = ports.artifacts.pool(),
                  .clock = ports.store.clock()}),
      images_(ImageOptions(config), {.media = media_}),
      videos_(VideoOptions(config), {.media = media_, .blobs = ports.artifacts.blobs()}),
      uploads_(UploadOptions(config), {.keeper = media_.uploads()}),
      warm_(ports.service.catalog(), ports.store.clock()),
      dispatcher_(DispatcherOptions(config, ports),
                  {.store = store_,
                   .db = ports.store.db(),
                   .clock = ports.store.clock(),
                   .log = ports.log,
                   .metrics = metrics_,
                   .ledger = ports.ledger,
                   .on_end = [&limiter = ports.limiter, &directory = ports.directory](
                                 const auto& job, const auto& end) { Settle(limiter, directory, job, end); }},
                  handlers()),
      webhook_metrics_(ports.registry),
      webhooks_({}, ports.store.db(), ports.store.clock()),
      sender_(SenderOptions(config.jobs), dispatcher_.host(),
              {.store = webhooks_,
               .db = ports.store.db(),
               .clock = ports.store.clock(),
               .log = ports.log,
               .metrics = webhook_metrics_,
               .secrets_of = [this](const TenantId& tenant) { return SecretsOf(tenant); }}),
      pruner_({.job_retention = config.jobs.retention}, ports.store.db(), ports.store.clock()),
      housekeeper_(
          {}, {.pruner = pruner_, .clock = ports.store.clock(), .db = ports.store.db(), .log = ports.log}) {}

tenancy::CallerRef JobQueue::FindCaller(const tenancy::Directory& directory, const TenantId& tenant,
                                        const ProjectId& project, const KeyId& key) {
  if (!key.empty()) {
    if (auto found = directory.FindKey(key); found.ok() && (*found)->tenant->id == tenant) return *found;
  }
  auto found = directory.Find(tenant);
  if (!found.ok()) return nullptr;
  return std::make_shared<const tenancy::Caller>(
      tenancy::Caller{.tenant = *std::move(found), .project = project});
}

void JobQueue::Settle(tenancy::Limiter& limiter, const tenancy::Directory& directory,
                      const jobs::LeasedJob& job, const jobs::RunEnd& end) {
  using Kind = jobs::RunEnd::Kind;
  constexpr double kMillis = 1000;
  const bool over = end.kind == Kind::kSucceeded || end.kind == Kind::kFailed || end.kind == Kind::kCancelled;
  // The prediction was counted once, whatever number of attempts there were.
  const double predicted = over ? job.cost : 0;
  const tenancy::CallerRef caller = FindCaller(directory, job.tenant, job.project, job.key);
  if (caller == nullptr) return;
  limiter.AddCost(*caller, job.model, (Seconds(end.device_time) - predicted) * kMillis);
}

jobs::Dispatcher::Options JobQueue::DispatcherOptions(const ServerConfig& config, const Ports& ports) {
  jobs::Dispatcher::Options options;
  options.slots = config.jobs.slots;
  // On SQLite nobody else could take what this host leaves.
  if (ports.store.db().dialect() == storage::SqlDialect::kPostgres)
    options.warm_models = [this] { return warm_.Names(); };
  return options;
}

std::map<std::string, jobs::JobHandler*, std::less<>> JobQueue::handlers() {
  auto handlers = generation_.handlers();
  handlers.emplace("inference", &inference_);
  handlers.insert(more_.begin(), more_.end());
  return handlers;
}

std::vector<std::string> JobQueue::SecretsOf(const TenantId& tenant) const {
  const auto found = webhook_secrets_.find(tenant);
  return found == webhook_secrets_.end() ? std::vector<std::string>() : found->second;
}

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
