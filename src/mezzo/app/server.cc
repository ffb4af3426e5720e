#include "mezzo/app/server.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "mezzo/api/gate.h"
#include "mezzo/api/grpc/grpc_server.h"
#include "mezzo/api/openai/folder_tokenizers.h"
#include "mezzo/api/openai/openai_handler.h"
#include "mezzo/api/platform/who_handler.h"
#include "mezzo/api/settings.h"
#include "mezzo/api/shared_memory.h"
#include "mezzo/api/v2http/v2_handler.h"
#include "mezzo/app/answer_caching.h"
#include "mezzo/app/artifact_store.h"
#include "mezzo/app/browser_guard.h"
#include "mezzo/app/console.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/drift_watch.h"
#include "mezzo/app/event_webhooks.h"
#include "mezzo/app/identities.h"
#include "mezzo/app/job_queue.h"
#include "mezzo/app/limit_sharing.h"
#include "mezzo/app/memory.h"
#include "mezzo/app/metrics_page.h"
#include "mezzo/app/model_engines.h"
#include "mezzo/app/model_registry.h"
#include "mezzo/app/overview_sampler.h"
#include "mezzo/app/people.h"
#include "mezzo/app/pipelines.h"
#include "mezzo/app/registered_versions.h"
#include "mezzo/app/release_control.h"
#include "mezzo/app/routing.h"
#include "mezzo/app/server_schema.h"
#include "mezzo/app/shared_state.h"
#include "mezzo/app/tenant_counts.h"
#include "mezzo/app/trace_export.h"
#include "mezzo/app/usage_accounts.h"
#include "mezzo/app/version.h"
#include "mezzo/app/version_loads.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/config/report.h"
#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"
#include "mezzo/inference/local_service.h"
#include "mezzo/net/http_server.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/process_metrics.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/sched/device_executor.h"

namespace mezzo::app {
namespace {

/// What is left of the usage then waits in the journal for the next start.
constexpr Duration kUsageGrace = std::chrono::seconds(5);

std::size_t Cores() { return std::max(1U, std::thread::hardware_concurrency()); }

template <typename T>
T OrCores(T configured) {
  return configured > 0 ? configured : static_cast<T>(Cores());
}

sched::DeviceExecutor::Options DeviceOptions(const DeviceConfig& config, const AdmissionConfig& admission) {
  sched::DeviceExecutor::Options options;
  options.scheduler.slots = OrCores(config.slots);
  options.scheduler.policy = config.policy;
  options.scheduler.class_shares = {config.interactive_share, config.standard_share, config.bulk_share};
  options.scheduler.max_queued_items = config.max_queued;
  options.scheduler.overload = {
      .enabled = admission.enabled, .target = admission.target_delay, .target_runs = admission.target_runs};
  options.inline_limit = config.inline_limit;
  return options;
}

/// `registry_root`: where versions of the registry lie; empty without a database.
models::RepositoryCatalog::Options CatalogOptions(const ModelsConfig& config, const DeviceConfig& device,
                                                  const std::string& registry_root) {
  models::RepositoryCatalog::Options options;
  options.roots = config.repositories;
  options.chosen_root = registry_root;
  if (!registry_root.empty()) options.roots.push_back(registry_root);
  options.control = config.control;
  options.startup_models = config.startup;
  options.poll_interval = config.poll_interval;
  options.memory_budget = config.memory_budget;
  options.default_max_batch = config.default_max_batch;
  options.default_instances = OrCores(device.slots);
  options.max_concurrent_loads = config.load_threads;
  options.after_unload = ReturnFreeMemory;
  return options;
}

std::optional<net::TlsOptions> HttpTls(const std::optional<TlsConfig>& config) {
  if (!config) return std::nullopt;
  return net::TlsOptions{.certificate_file = config->certificate_file,
                         .key_file = config->key_file,
                         .client_ca_file = config->client_ca_file};
}

net::HttpServer::Options HttpOptions(const HttpConfig& config, runtime::BlockingPool& pool) {
  net::HttpServer::Options options;
  options.max_header_bytes = config.max_header_bytes;
  options.max_headers = config.max_headers;
  options.max_bytes_in_flight = config.max_bytes_in_flight;
  options.max_connections = config.max_connections;
  options.max_connections_per_peer = config.max_connections_per_peer;
  options.header_timeout = config.header_timeout;
  options.idle_timeout = config.idle_timeout;
  options.write_timeout = config.write_timeout;
  options.tls = HttpTls(config.tls);
  options.codec_pool = &pool;
  return options;
}

api::rpc::GrpcServer::Options GrpcOptions(const GrpcConfig& config) {
  api::rpc::GrpcServer::Options options;
  options.address = config.address;
  options.port = config.port;
  options.version = kVersion;
  options.max_message_bytes = config.max_message;
  if (config.tls) {
    options.certificate_file = config.tls->certificate_file;
    options.key_file = config.tls->key_file;
    options.client_ca_file = config.tls->client_ca_file;
  }
  return options;
}

observe::TraceSettings SamplerSettings(const TracingConfig& config) {
  observe::TraceSettings settings;
  settings.enabled = config.enabled;
  settings.ratio = config.ratio;
  return settings;
}

observe::TraceSettings SamplerSettings(const api::TraceSetting& setting) {
  observe::TraceSettings settings;
  settings.enabled = setting.timestamps;
  settings.ratio = setting.rate > 0 ? 1.0 / setting.rate : 1.0;
  if (setting.count >= 0) settings.remaining = static_cast<std::uint64_t>(setting.count);
  return settings;
}

api::TraceSetting TraceDefaults(const TracingConfig& config) {
  api::TraceSetting setting;
  setting.timestamps = config.enabled;
  if (config.ratio > 0) setting.rate = static_cast<std::uint32_t>(std::max(1.0, 1.0 / config.ratio));
  return setting;
}

observe::LogLevel LevelOf(const api::LogSetting& setting) {
  if (setting.verbose_level > 0) return observe::LogLevel::kDebug;
  if (setting.info) return observe::LogLevel::kInfo;
  if (setting.warning) return observe::LogLevel::kWarn;
  return setting.error ? observe::LogLevel::kError : observe::LogLevel::kOff;
}

/// The executor's and the process's counts, read when a scrape asks.
std::vector<observe::Callback> RegisterCounts(observe::Registry& registry,
                                              const sched::DeviceExecutor& executor,
                                              const runtime::IoThreads& loops, const observe::Logger& log,
                                              const tenancy::Limiter& limiter) {
  std::vector<observe::Callback> callbacks;
  const auto gauge = [&](std::string_view name, std::string_view help,
                         observe::CallbackFamily::Function read) {
    callbacks.push_back(registry.NewCallbackGauge(name, help, std::move(read)));
  };
  const auto counter = [&](std::string_view name, std::string_view help,
                           observe::CallbackFamily::Function read) {
    callbacks.push_back(registry.NewCallbackCounter(name, help, std::move(read)));
  };
  gauge("mezzo_sched_queued_items", "Work that waits for the device.",
        [&] { return static_cast<double>(executor.totals().queued_items); });
  gauge("mezzo_sched_slots", "Batches that may run at the same time.",
        [&] { return static_cast<double>(executor.options().scheduler.slots); });
  gauge("mezzo_sched_free_slots", "Slots of the device that run nothing.",
        [&] { return static_cast<double>(executor.totals().free_slots); });
  counter("mezzo_sched_inline_batches_total", "Batches that ran on an I/O thread.",
          [&] { return static_cast<double>(executor.totals().inline_batches); });
  counter("mezzo_sched_slot_batches_total", "Batches that ran on a slot's thread.",
          [&] { return static_cast<double>(executor.totals().slot_batches); });
  counter("mezzo_runtime_loop_stalls_total", "Turns of I/O loops that came more than 10 ms late.",
          [&] { return static_cast<double>(loops.stalls()); });
  counter("mezzo_observe_log_suppressed_total", "Log lines that a rate limit held back.",
          [&] { return static_cast<double>(log.suppressed_lines()); });
  counter("mezzo_observe_log_lost_total", "Log lines that could not be written.",
          [&] { return static_cast<double>(log.lost_lines()); });

  gauge("mezzo_tenancy_limit_buckets", "Tenants, keys, projects and models that limits count apart just now.",
        [&] { return static_cast<double>(limiter.buckets()); });
  auto& limited = registry.NewCallbackFamily("mezzo_tenancy_limited_total", "Calls that a limit refused.",
                                             observe::MetricType::kCounter, {"reason"});
  constexpr std::array<std::string_view, 4> kReasons = {"rate_limited", "concurrency_limited",
                                                        "quota_exceeded", "queue_limited"};
  for (std::size_t i = 0; i < kReasons.size(); ++i) {
    callbacks.push_back(limited.Add({std::string(kReasons.at(i))},
                                    [&limiter, i] { return static_cast<double>(limiter.refusals().at(i)); }));
  }

  auto& refused =
      registry.NewCallbackFamily("mezzo_sched_refused_total", "Work that the scheduler refused, by reason.",
                                 observe::MetricType::kCounter, {"class", "reason"});
  for (std::size_t c = 0; c < sched::kClassCount; ++c) {
    const auto cls = static_cast<sched::Class>(c);
    for (std::size_t r = 0; r < sched::kRefusalCount; ++r) {
      callbacks.push_back(refused.Add(
          {sched::ClassName(cls), sched::RefusalName(static_cast<sched::Refusal>(r))},
          [&executor, cls, r] { return static_cast<double>(executor.StatisticsOf(cls).refused.at(r)); }));
    }
  }
  gauge("mezzo_sched_overload_signal", "Time in the queue over what is fine for it; above 1 is too much.",
        [&] { return executor.overload().signal; });
  gauge("mezzo_sched_admission_limit",
        "Predicted device seconds a second that may come in while there is too much; 0: no limit now.",
        [&] { return executor.overload().limit / 1e9; });
  counter("mezzo_sched_overloads_total", "Times that a limit on what comes in began.",
          [&] { return static_cast<double>(executor.overload().overloads); });
  auto& shed = registry.NewCallbackFamily("mezzo_sched_shed_total",
                                          "Calls refused because the device had more work than it can do.",
                                          observe::MetricType::kCounter, {"tier", "class"});
  constexpr std::array<std::string_view, 2> kTiers = {"free", "paid"};
  for (std::size_t t = 0; t < kTiers.size(); ++t) {
    for (std::size_t c = 0; c < sched::kClassCount; ++c) {
      callbacks.push_back(
          shed.Add({std::string(kTiers.at(t)), std::string(sched::ClassName(static_cast<sched::Class>(c)))},
                   [&executor, t, c] { return static_cast<double>(executor.overload().shed.at(t).at(c)); }));
    }
  }
  return callbacks;
}

}  // namespace

/// Everything that runs, in the order it is built; it is destroyed in the reverse order.
class Server::Parts {
 public:
  /// `kept` is null when nothing is to be kept on disk.
  Parts(ServerConfig server_config, tenancy::Directory::Contents callers, std::vector<tenancy::Limit> limits,
        WebhookSecrets secrets, lifecycle::VersionOutbox events, std::unique_ptr<DataStore> kept)
      : config(std::move(server_config)),
        outbox(std::move(events)),
        declared(std::move(callers)),
        declared_limits(std::move(limits)),
        directory(kept == nullptr ? declared : tenancy::Directory::Contents(), clock),
        store(std::move(kept)),
        log({.level = config.log.level, .format = config.log.format}, clock),
        process_metrics(
            registry, clock,
            {.version = std::string(kVersion), .commit = std::string(kCommit), .compiler = __VERSION__}),
        exporter(MakeExporter(config.tracing, clock)),
        sampler(SamplerSettings(config.tracing)),
        sink({.service_version = std::string(kVersion)}, clock, exporter.get(), registry),
        tracer(clock, sampler, sink),
        engines(config.engine, config.workers, store == nullptr ? "" : ModelRegistry::RootIn(config.data_dir),
                clock, registry, log),
        usage(OpenUsage()),
        executor(DeviceOptions(config.device, config.admission), clock),
        inference_metrics(registry),
        recent(config.cache.recent_bytes, registry, clock),
        caching(config.cache,
                {.store = store.get(), .clock = clock, .registry = registry, .log = log, .recent = recent}),
        drift(MakeDrift()),
        binder(executor, inference_metrics, clock, config.models.default_max_queued,
               {.answers = &caching.answers(), .ledger = ledger(), .samplers = drift.get()}),
        load_pool(
            {.name = "load", .threads = config.models.load_threads, .max_queued = 4096, .background = true}),
        codec_pool({.name = "codec", .threads = Cores(), .max_queued = 256}),
        catalog(
            CatalogOptions(config.models, config.device,
                           store == nullptr ? "" : ModelRegistry::RootIn(config.data_dir)),
            {.engine = engines.all(), .clock = clock, .pool = load_pool, .registry = registry, .log = log}),
        registered(MakeRegistered()),
        release_control({.store = store.get(),
                         .catalog = catalog,
                         .clock = clock,
                         .registry = registry,
                         .health = health,
                         .log = log,
                         .scope = scope,
                         .registered = registered.get()}),
        routing({.store = store.get(),
                 .catalog = catalog,
                 .clock = clock,
                 .registry = registry,
                 .log = log,
                 .health = health,
                 .registered = registered.get(),
                 .outcomes = release_control.sink()}),
        service(catalog, executor, tracer, clock,
                {.limiter = &limiter,
                 .answers = &caching.answers(),
                 .background = &scope,
                 .routes = &routing.router(),
                 .pool = &codec_pool}),
        corrections(caching.NewCorrectionsHandler(service)),
        regions({.enabled = config.shared_memory.enabled}),
        trace_settings(
            TraceDefaults(config.tracing),
            [this](std::string_view model, const api::TraceSetting& setting) { SetTracing(model, setting); }),
        log_settings({}, [this](const api::LogSetting& setting) { log.set_level(LevelOf(setting)); }),
        loops(OrCores(config.io_threads)),
        releases_handler(release_control.Connect(routing, loops.loop(0))),
        counts(RegisterCounts(registry, executor, loops, log, limiter)),
        tenant_counts(registry, executor),
        shared(SharedState::Open(config.redis,
                                 {.clock = clock, .log = log, .registry = registry, .health = health})),
        sharing(ShareLimits()),
        identities(OpenIdentities()),
        people(OpenPeople(config, clock, registry, log)),
        metrics_page(registry),
        v2(V2Options(), {.service = service,
                         .regions = regions,
                         .traces = trace_settings,
                         .logs = log_settings,
                         .pool = &codec_pool,
                         .clock = &clock}),
        tokenizers(codec_pool),
        openai({.max_body = config.http.max_body},
               {.service = service, .tokenizers = tokenizers, .clock = clock, .pool = &codec_pool}),
        artifacts(OpenArtifacts()),
        jobs(MakeJobs(std::move(secrets))),
        registry_of_models(OpenRegistry()),
        pipelines(OpenPipelines()),
        overview({.metrics = inference_metrics,
                  .executor = executor,
                  .limiter = limiter,
                  .health = health,
                  .clock = clock,
                  .registry = registry}),
        console(MakeConsole(config, kVersion)),
        gate(Protocols(), directory, RefuseForeignPage, &limiter) {
    if (config.http.enabled) {
      http = std::make_unique<net::HttpServer>(HttpOptions(config.http, codec_pool), gate, loops, registry);
    }
    if (config.grpc.enabled) {
      grpc = std::make_unique<api::rpc::GrpcServer>(
          GrpcOptions(config.grpc), api::rpc::GrpcServer::Services{.service = service,
                                                                   .directory = directory,
                                                                   .shared_memory = regions,
                                                                   .trace_settings = trace_settings,
                                                                   .log_settings = log_settings,
                                                                   .health = health,
                                                                   .registry = registry,
                                                                   .logger = log,
                                                                   .clock = clock,
                                                                   .loops = loops,
                                                                   .limiter = &limiter});
    }
  }

  ~Parts() { End(); }

  Result<void> Start() {
    if (!usage.ok()) return usage.error();
    if (!shared.ok()) return shared.error();
    if (!identities.ok()) return identities.error();
    if (!artifacts.ok()) return artifacts.error();
    if (!registry_of_models.ok()) return registry_of_models.error();
    if (!pipelines.ok()) return pipelines.error();
    if (*identities != nullptr) (*identities)->Start();
    if (*usage != nullptr) (*usage)->Start();
    if (!people.ok()) return people.error();
    if (*people != nullptr) {
      (*people)->Start();
      directory.set_people(people->get());
    }
    MEZZO_TRY_VOID(caching.Share(**shared, loops));
    caching.Start();
    MEZZO_TRY_VOID(routing.Start());
    MEZZO_TRY_VOID(catalog.Start(&binder));
    release_control.Start();
    if (drift != nullptr) {
      if (*pipelines != nullptr) drift->set_triggers(&(*pipelines)->triggers());
      drift->Start();
    }
    if (*artifacts != nullptr) (*artifacts)->Start();
    if (jobs != nullptr) jobs->Start();
    if (*registry_of_models != nullptr) (*registry_of_models)->Start();
    if (*pipelines != nullptr) (*pipelines)->Start();
    if (http != nullptr) MEZZO_TRY_VOID(http->Listen(config.http.address, config.http.port));
    if (grpc != nullptr) MEZZO_TRY_VOID(grpc->Start());
    if (sharing != nullptr) sharing->Start(scope, loops.loop(0));
    overview.Start(scope, loops.loop(0));
    scope.Spawn(loops.loop(0), runtime::Context(),
                [this](runtime::Context ctx) { return ReportReadiness(std::move(ctx)); });
    log.Info("serving", {{"version", kVersion},
                         {"http_port", http != nullptr ? http->port() : 0},
                         {"grpc_port", grpc != nullptr ? grpc->port() : 0},
                         {"slots", executor.options().scheduler.slots},
                         {"io_threads", loops.size()},
                         {"tenants", directory.tenants().size()}});
    if (config.insecure) log.Warn("callers without keys are allowed from other hosts (insecure)");
    return {};
  }

  bool Shutdown() {
    const TimePoint until = clock.Now() + config.shutdown.grace;
    health.StartDraining();
    log.Info("draining", {{"grace", config.shutdown.grace}});
    // Side by side: a long call on one protocol must not use up the other's time.
    std::thread jobs_drain([&] {
      if (jobs != nullptr) jobs->Stop(until - clock.Now());
    });
    bool grpc_clean = true;
    std::thread grpc_drain([&] {
      if (grpc != nullptr) grpc_clean = grpc->Drain(until - clock.Now());
    });
    bool clean = http == nullptr || http->Drain(until - clock.Now());
    grpc_drain.join();
    jobs_drain.join();
    clean = clean && grpc_clean;
    executor.StopAccepting(Unavailable("shutting_down", "the server is shutting down"));
    if (!executor.WaitIdle(std::max(until, clock.Now()))) {
      clean = false;
      log.Warn("runs are cut short: the grace time is over");
      executor.StopRunning();
    }
    End();
    log.Info("ended", {{"clean", clean}});
    return clean;
  }

  void Reload(const ServerConfig& changed) {
    for (const auto& change : config::Diff(config, changed)) {
      const bool live = change.reload == config::Reload::kLive;
      log.Info(live ? "configuration changed" : "configuration change needs a restart",
               {{"key", change.path}, {"from", change.before}, {"to", change.after}});
    }
    config.log = changed.log;
    log.set_level(config.log.level);
    log.set_format(config.log.format);
  }

  RealClock clock;
  ServerConfig config;
  lifecycle::VersionOutbox outbox;              // Null: nobody is told of what happens to versions.
  const tenancy::Directory::Contents declared;  // By the configuration.
  const std::vector<tenancy::Limit> declared_limits;
  tenancy::Directory directory;  // With a database: what that has, too.
  std::unique_ptr<DataStore> store;
  observe::Logger log;
  observe::Registry registry;
  observe::Health health;
  observe::HealthCheck models_check = health.NewCheck("models", observe::HealthKind::kReadiness);
  observe::ProcessMetrics process_metrics;
  std::unique_ptr<OtlpExporter> exporter;
  observe::Sampler sampler;
  observe::SpanSink sink;
  observe::Tracer tracer;
  ModelEngines engines;
  Result<std::unique_ptr<UsageAccounts>> usage;  // Null without a database. Start() tells a failure.
  sched::DeviceExecutor executor;
  inference::InferenceMetrics inference_metrics;
  cache::RecentItems recent;
  AnswerCaching caching;
  std::unique_ptr<DriftWatch> drift;  // Null without a database.
  inference::RuntimeBinder binder;
  runtime::BlockingPool load_pool;
  runtime::BlockingPool codec_pool;
  models::RepositoryCatalog catalog;
  tenancy::Limiter limiter{{}, clock};
  std::unique_ptr<RegisteredVersions> registered;  // Null without a database.
  ReleaseControl release_control;
  Routing routing;
  inference::LocalService service;
  std::unique_ptr<api::Protocol> corrections;  // Null without a database.
  api::SharedMemoryRegions regions;
  api::TraceSettings trace_settings;
  api::LogSettings log_settings;
  runtime::IoThreads loops;
  api::Protocol* releases_handler;  // Null without a database.
  std::vector<observe::Callback> counts;
  TenantCounts tenant_counts;
  Result<std::unique_ptr<SharedState>> shared;            // Start() tells a failure.
  std::unique_ptr<LimitSharing> sharing;                  // Null when `shared` failed.
  Result<std::unique_ptr<Identities>> identities;         // Null without a database. Start() tells a failure.
  Result<std::unique_ptr<tenancy::OidcProvider>> people;  // Null without issuers. Start() tells a failure.
  MetricsPage metrics_page;
  api::platform::WhoHandler who;
  api::v2http::V2Handler v2;
  api::openai::FolderTokenizers tokenizers;
  api::openai::OpenAiHandler openai;
  drivers::VipsPictureCodec codec;
  Result<std::unique_ptr<ArtifactStore>> artifacts;  // Null without jobs. Start() tells a failure.
  PipelineJobs pipeline_jobs;
  std::unique_ptr<JobQueue> jobs;
  const VersionLoads loads{{.catalog = catalog, .scope = scope, .loop = loops.loop(0), .clock = clock}};
  Result<std::unique_ptr<ModelRegistry>>
      registry_of_models;                        // Null without a database. Start() tells a failure.
  Result<std::unique_ptr<Pipelines>> pipelines;  // Likewise.
  OverviewSampler overview;
  std::unique_ptr<api::console::ConsoleHandler> console;  // Null when it is off, or not in this build.
  api::Gate gate;
  std::unique_ptr<net::HttpServer> http;
  std::unique_ptr<api::rpc::GrpcServer> grpc;
  runtime::Scope scope;  // Last: its tasks use everything above.

 private:
  /// Without a database the directory and the scheduler have what the configuration declares.
  Result<std::unique_ptr<Identities>> OpenIdentities() {
    if (store != nullptr) {
      return Identities::Open(config, declared, declared_limits,
                              {.store = *store,
                               .directory = directory,
                               .executor = executor,
                               .counts = tenant_counts,
                               .limiter = limiter,
                               .log = log});
    }
    limiter.Replace(declared_limits);
    for (const auto& tenant : declared.tenants) {
      const auto index = executor.AddTenant(
          {.name = tenant->id.str(), .weight = tenant->weight, .free_tier = tenant->free_tier()});
      MEZZO_CHECK(static_cast<std::uint32_t>(index) == tenant->index);
      tenant_counts.Add(*tenant);
    }
    return std::unique_ptr<Identities>();
  }

  std::unique_ptr<LimitSharing> ShareLimits() {
    if (!shared.ok()) return nullptr;
    return std::make_unique<LimitSharing>(LimitSharing::Ports{
        .limiter = limiter, .state = **shared, .clock = clock, .registry = registry, .log = log});
  }

  Result<std::unique_ptr<UsageAccounts>> OpenUsage() {
    if (store == nullptr) return std::unique_ptr<UsageAccounts>();
    store->Meter(registry);  // This is the first to ask it.
    return UsageAccounts::Open(config.data_dir, {.store = *store,
                                                 .directory = directory,
                                                 .limiter = limiter,
                                                 .registry = registry,
                                                 .log = log,
                                                 .health = health});
  }

  /// Null without a database.
  [[nodiscard]] tenancy::Ledger* ledger() {
    return usage.ok() && *usage != nullptr ? &(*usage)->ledger() : nullptr;
  }

  static std::unique_ptr<OtlpExporter> MakeExporter(const TracingConfig& config, const Clock& clock) {
    if (config.endpoint.empty()) return nullptr;
    return std::make_unique<OtlpExporter>(config.endpoint, config.authorization.Reveal(), clock);
  }

  Result<std::unique_ptr<ArtifactStore>> OpenArtifacts() {
    if (store == nullptr) return std::unique_ptr<ArtifactStore>();
    return ArtifactStore::Open(config.artifacts, config.data_dir,
                               {.clock = clock, .log = log, .registry = registry, .recent = &recent});
  }

  std::unique_ptr<JobQueue> MakeJobs(WebhookSecrets secrets) {
    if (store == nullptr || !artifacts.ok()) return nullptr;
    return std::make_unique<JobQueue>(config,
                                      JobQueue::Ports{.store = *store,
                                                      .artifacts = **artifacts,
                                                      .service = service,
                                                      .executor = executor,
                                                      .codec_pool = codec_pool,
                                                      .codec = codec,
                                                      .directory = directory,
                                                      .limiter = limiter,
                                                      .loop = loops.loop(0),
                                                      .log = log,
                                                      .registry = registry,
                                                      .webhook_secrets = std::move(secrets),
                                                      .ledger = ledger(),
                                                      .recent = &recent,
                                                      .pick = PickForJobs(),
                                                      .scope = &scope,
                                                      .more = {{PipelineJobs::kKind, &pipeline_jobs}}});
  }

  std::function<inference::VersionPick(const tenancy::Tenant&, std::string_view)> PickForJobs() {
    return [this](const tenancy::Tenant& tenant, std::string_view model) {
      return routing.PickForJob(tenant, model);
    };
  }

  Result<std::unique_ptr<ModelRegistry>> OpenRegistry() {
    if (store == nullptr || !artifacts.ok()) return std::unique_ptr<ModelRegistry>();
    return ModelRegistry::Open(
        config, {.store = *store,
                 .artifacts = **artifacts,
                 .catalog = catalog,
                 .log = log,
                 .metrics = registry,
                 .registered = *registered,
                 .needed =
                     [this] {
                       std::vector<lifecycle::VersionSupply::Key> needed;
                       for (const auto& [model, version] : routing.router().Versions()) {
                         needed.emplace_back(model,
                                             static_cast<std::int64_t>(ParseUint(version).value_or(0)));
                       }
                       return needed;
                     },
                 .load = [this](const std::string& model, const std::string& version,
                                TimePoint deadline) { return loads.LoadAndWait(model, version, deadline); },
                 .traffic = [this] { return TrafficOf(service); },
                 .outbox = outbox});
  }

  std::unique_ptr<DriftWatch> MakeDrift() {
    if (store == nullptr) return nullptr;
    return std::make_unique<DriftWatch>(
        config.drift, DriftWatch::Ports{.store = *store, .log = log, .registry = registry, .outbox = outbox});
  }

  std::unique_ptr<RegisteredVersions> MakeRegistered() {
    if (store == nullptr) return nullptr;
    return std::make_unique<RegisteredVersions>(
        RegisteredVersions::Options(),
        RegisteredVersions::Ports{.store = *store,
                                  .catalog = catalog,
                                  .log = log,
                                  .delays = &releases::RouteDelays(registry, "alias")});
  }

  Result<std::unique_ptr<Pipelines>> OpenPipelines() {
    if (jobs == nullptr || !registry_of_models.ok() || *registry_of_models == nullptr)
      return std::unique_ptr<Pipelines>();
    return Pipelines::Open(config, {.store = *store,
                                    .jobs = *jobs,
                                    .handler = pipeline_jobs,
                                    .registry = **registry_of_models,
                                    .artifacts = **artifacts,
                                    .routes = *routing.store(),
                                    .loads = loads,
                                    .log = log,
                                    .metrics = registry});
  }

  std::vector<api::MountedProtocol> Protocols() {
    std::vector<api::MountedProtocol> protocols = {
        {.protocol = &v2, .prefixes = {"/v2"}},
        {.protocol = &metrics_page, .prefixes = {"/metrics"}},
        {.protocol = &who, .prefixes = {api::platform::WhoHandler::kRoot}}};
    if (identities.ok() && *identities != nullptr) {
      protocols.push_back({.protocol = &(*identities)->handler(), .prefixes = {"/v1/tenants"}});
      protocols.push_back({.protocol = &(*identities)->limits(), .prefixes = {"/v1/limits"}});
    }
    if (usage.ok() && *usage != nullptr) {
      protocols.push_back({.protocol = &(*usage)->handler(), .prefixes = {"/v1/usage", "/v1/prices"}});
    }
    if (jobs != nullptr) {
      protocols.push_back({.protocol = &jobs->handler(), .prefixes = {"/v1/jobs"}});
      protocols.push_back({.protocol = &jobs->images(), .prefixes = {api::openai::ImagesHandler::kRoot}});
      protocols.push_back({.protocol = &jobs->videos(), .prefixes = {api::openai::VideosHandler::kRoot}});
      protocols.push_back({.protocol = &jobs->uploads(), .prefixes = {api::platform::UploadsHandler::kRoot}});
      protocols.push_back(
          {.protocol = &(*artifacts)->handler(), .prefixes = {api::platform::ArtifactsHandler::kRoot}});
    }
    if (registry_of_models.ok() && *registry_of_models != nullptr) {
      protocols.push_back({.protocol = &(*registry_of_models)->handler(),
                           .prefixes = {api::platform::RegistryHandler::kRoot}});
      using api::mlflow::MlflowHandler;
      protocols.push_back(
          {.protocol = &(*registry_of_models)->mlflow(),
           .prefixes = {MlflowHandler::kRoot, MlflowHandler::kArtifactsRoot, MlflowHandler::kServerRoot}});
    }
    if (drift != nullptr) {
      protocols.push_back({.protocol = &drift->handler(), .prefixes = {api::platform::DriftHandler::kRoot}});
    }
    if (pipelines.ok() && *pipelines != nullptr) {
      protocols.push_back({.protocol = &(*pipelines)->handler(),
                           .prefixes = {"/v1/pipelines", "/v1/pipeline-runs", "/v1/pipeline-events"}});
    }
    if (corrections != nullptr) {
      protocols.push_back(
          {.protocol = corrections.get(), .prefixes = {api::platform::CorrectionsHandler::kRoot}});
    }
    if (routing.handler() != nullptr) {
      protocols.push_back({.protocol = routing.handler(), .prefixes = {api::platform::RoutesHandler::kRoot}});
    }
    if (releases_handler != nullptr) {
      protocols.push_back(
          {.protocol = releases_handler, .prefixes = {api::platform::ReleasesHandler::kRoot}});
      protocols.push_back({.protocol = release_control.feedback_handler(),
                           .prefixes = {api::platform::FeedbackHandler::kRoot}});
    }
    protocols.push_back({.protocol = &caching.handler(), .prefixes = {api::platform::CacheHandler::kRoot}});
    protocols.push_back(
        {.protocol = &overview.handler(), .prefixes = {api::platform::OverviewHandler::kRoot}});
    if (console != nullptr)
      protocols.push_back({.protocol = console.get(), .prefixes = {api::console::ConsoleHandler::kRoot}});
    protocols.push_back({.protocol = &openai, .prefixes = {"/v1"}});
    return protocols;
  }

  api::v2http::V2Handler::Options V2Options() {
    api::v2http::V2Handler::Options options;
    options.server_version = kVersion;
    options.max_infer_body = config.http.max_body;
    options.is_ready = [this] { return health.ready(); };
    return options;
  }

  void SetTracing(std::string_view model, const api::TraceSetting& setting) {
    const observe::TraceSettings settings = SamplerSettings(setting);
    const auto done = model.empty() ? sampler.Set(settings) : sampler.SetModel(model, settings);
    if (!done.ok()) log.Error("trace settings were not taken over", {{"reason", done.error().message()}});
  }

  runtime::Task<Result<void>> ReportReadiness(runtime::Context ctx) {
    while (!catalog.StartupDone()) {
      MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, clock.Now() + std::chrono::milliseconds(5)));
    }
    // What routes need comes before calls do; what can't be had does not keep this host from the rest.
    while (*registry_of_models != nullptr && !(*registry_of_models)->supply().FirstRoundDone()) {
      MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, clock.Now() + std::chrono::milliseconds(5)));
    }
    models_check.Ok();
    log.Info("ready");
    co_return Result<void>();
  }

  /// Ends everything that calls into what is destroyed next. Idempotent.
  void End() {
    scope.Stop(std::chrono::seconds(10));
    if (pipelines.ok() && *pipelines != nullptr) (*pipelines)->Stop();
    if (jobs != nullptr) jobs->Stop(Duration::zero());
    if (grpc != nullptr) grpc->Stop();
    if (http != nullptr) http->Stop();
    if (registry_of_models.ok() && *registry_of_models != nullptr) (*registry_of_models)->Stop();
    if (artifacts.ok() && *artifacts != nullptr) (*artifacts)->Stop();
    if (identities.ok() && *identities != nullptr) (*identities)->Stop();
    if (people.ok() && *people != nullptr) (*people)->Stop();
    if (drift != nullptr) drift->Stop();
    release_control.Stop();
    routing.Stop();
    catalog.Stop();
    caching.Stop();
    if (usage.ok() && *usage != nullptr) (*usage)->Stop(kUsageGrace);
    counts.clear();
    tenant_counts.Clear();
    loops.Stop();
    sink.Stop(std::chrono::seconds(2));
  }
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  MEZZO_TRY(tenancy::Directory::Contents callers, CallersOf(config));
  MEZZO_TRY(std::vector<tenancy::Limit> limits, LimitsOf(config));
  MEZZO_TRY(WebhookSecrets secrets, MakeWebhookSecrets(config));
  MEZZO_TRY(lifecycle::VersionOutbox outbox, MakeVersionOutbox(config, secrets));
  std::unique_ptr<DataStore> store;
  if (config.jobs.enabled) {
    MEZZO_TRY(store, DataStore::Open(config.data_dir, config.database));
    MEZZO_TRY_VOID(ModelRegistry::MakeRoot(config.data_dir));
  }
  auto parts = std::make_unique<Parts>(config, std::move(callers), std::move(limits), std::move(secrets),
                                       std::move(outbox), std::move(store));
  MEZZO_TRY_VOID(parts->Start());
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

std::uint16_t Server::http_port() const { return parts_->http != nullptr ? parts_->http->port() : 0; }
std::uint16_t Server::grpc_port() const { return parts_->grpc != nullptr ? parts_->grpc->port() : 0; }
std::optional<std::string> Server::first_admin_key() const {
  const auto& identities = parts_->identities;
  return identities.ok() && *identities != nullptr ? (*identities)->first_admin_key() : std::nullopt;
}
bool Server::Shutdown() { return parts_->Shutdown(); }
void Server::Reload(const ServerConfig& config) { parts_->Reload(config); }

}  // namespace mezzo::app
