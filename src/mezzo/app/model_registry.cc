#include "mezzo/app/model_registry.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace mezzo::app {
namespace {

constexpr Duration kOpenTime = std::chrono::minutes(1);

/// What the history calls this host.
std::string HostOf(const RegistryConfig& config) {
  if (!config.host.empty()) return config.host;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

lifecycle::VersionUploads::Options UploadOptions(const RegistryConfig& config) {
  return {.lifetime = config.upload_lifetime};
}

lifecycle::TrackingStore::Options TrackingOptions(const RegistryConfig& config) {
  lifecycle::TrackingStore::Options options;
  options.max_bytes = config.max_artifacts;
  options.max_files = config.max_files;
  return options;
}

lifecycle::RegistryKeeper::Options KeeperOptions(const RegistryConfig& config) {
  lifecycle::RegistryKeeper::Options options;
  options.upload_lifetime = config.upload_lifetime;
  options.content_grace = config.content_grace;
  // Short lives are looked at more often.
  options.period = std::min<Duration>(options.period, config.upload_lifetime / 2);
  return options;
}

lifecycle::Retirement::Options RetirementOptions(const RetireConfig& config) {
  lifecycle::Retirement::Options options;
  options.policy = {.after = config.after, .warning = config.warning, .drain = config.drain};
  // A host's word of its calls must come before anybody counts on there being none.
  options.period = std::clamp<Duration>(config.drain / 3, std::chrono::milliseconds(200), options.period);
  return options;
}

}  // namespace

lifecycle::ManifestLimits ManifestLimitsOf(const RegistryConfig& config) {
  lifecycle::ManifestLimits limits;
  limits.max_files = config.max_files;
  limits.max_file_bytes = config.max_file;
  limits.max_bytes = config.max_version;
  return limits;
}

std::string ModelRegistry::RootIn(const std::string& data_dir) { return data_dir + "/registry"; }

Result<void> ModelRegistry::MakeRoot(const std::string& data_dir) {
  const std::string root = RootIn(data_dir);
  if (::mkdir(root.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Unavailable("version_folder", "'" + root + "' can't be made: " + std::strerror(errno));
}

ModelRegistry::ModelRegistry(const ServerConfig& config, Ports ports)
    : ports_(ports),
      store_({.tracked = true}, ports.store.db(), ports.store.clock()),
      testing_(!config.registry.tests.enabled
                   ? nullptr
                   : std::make_unique<VersionTesting>(
                         config, VersionTesting::Ports{.db = ports.store.db(),
                                                       .registry = store_,
                                                       .fetch =
                                                           [this](const lifecycle::Manifest& manifest,
                                                                  TimePoint deadline) {
                                                             return fetcher_->Fetch(manifest, deadline);
                                                           },
                                                       .clock = ports.store.clock(),
                                                       .log = ports.log,
                                                       .metrics = ports.metrics})),
      uploads_(UploadOptions(config.registry), {.registry = store_,
                                                .contents = ports.artifacts.lasting(),
                                                .tester = testing_ == nullptr ? nullptr : &testing_->tester(),
                                                .clock = ports.store.clock()}),
      tracking_(TrackingOptions(config.registry), ports.store.db(), ports.store.clock()),
      tracked_({.limits = ManifestLimitsOf(config.registry), .lifetime = config.registry.upload_lifetime},
               {.tracking = tracking_,
                .registry = store_,
                .uploads = uploads_,
                .contents = ports.artifacts.lasting(),
                .clock = ports.store.clock()}),
      pool_({.name = "registry", .threads = 2, .max_queued = 256}),
      transfers_({.name = "contents", .threads = 4, .max_queued = 256}),
      retirement_(RetirementOptions(config.registry.retire), {.registry = store_,
                                                              .contents = ports.artifacts.lasting(),
                                                              .clock = ports.store.clock(),
                                                              .log = ports.log,
                                                              .metrics = ports.metrics,
                                                              .traffic = ports.traffic}),
      keeper_(KeeperOptions(config.registry), {.registry = store_,
                                               .uploads = uploads_,
                                               .clock = ports.store.clock(),
                                               .log = ports.log,
                                               .artifacts = &tracked_}) {}

void ModelRegistry::Start() {
  keeper_.Start();
  supply_->Start();
  retirement_.Start();
  if (testing_ != nullptr) testing_->Start();
}

void ModelRegistry::Stop() {
  if (testing_ != nullptr) testing_->Stop();
  retirement_.Stop();
  if (supply_ != nullptr) supply_->Stop();
  keeper_.Stop();
}

Result<void> ModelRegistry::OpenFolders(const ServerConfig& config) {
  MEZZO_TRY(fetcher_, lifecycle::VersionFetcher::Open(
                          {.folder = config.data_dir + "/versions", .max_bytes = config.registry.disk},
                          {.contents = ports_.artifacts.lasting(), .clock = ports_.store.clock()}));
  MEZZO_TRY(hosting_, lifecycle::VersionHosting::Open(
                          {.root = RootIn(config.data_dir), .host = HostOf(config.registry)},
                          {.registry = store_,
                           .fetcher = *fetcher_,
                           .clock = ports_.store.clock(),
                           .look = [this](const std::string& model) { return ports_.catalog.LookNow(model); },
                           .needed =
                               [this](const std::string& model, std::int64_t version) {
                                 return supply_ == nullptr ? std::nullopt : supply_->UserOf(model, version);
                               }}));
  supply_ = std::make_unique<lifecycle::VersionSupply>(
      lifecycle::VersionSupply::Options{.linger = config.registry.linger,
                                        .fetch_timeout = config.registry.fetch_timeout},
      lifecycle::VersionSupply::Ports{
          .registry = store_,
          .hosting = *hosting_,
          .catalog = ports_.catalog,
          .clock = ports_.store.clock(),
          .log = ports_.log,
          .metrics = ports_.metrics,
          .draining = [this](TimePoint deadline) { return retirement_.Draining(deadline); },
          .needed = ports_.needed,
          .load = ports_.load});
  ports_.registered.Connect(*supply_);
  return hosting_->Restore(AddSaturating(ports_.store.clock().Now(), kOpenTime));
}

Result<std::unique_ptr<ModelRegistry>> ModelRegistry::Open(const ServerConfig& config, Ports ports) {
  std::unique_ptr<ModelRegistry> registry(new ModelRegistry(config, ports));
  registry->store_.set_uses(&ports.registered);
  registry->store_.set_outbox(ports.outbox);
  MEZZO_TRY_VOID(registry->OpenFolders(config));
  api::platform::RegistryHandler::Options options;
  options.max_piece = config.http.max_body;
  options.fetch_timeout = config.registry.fetch_timeout;
  options.limits = ManifestLimitsOf(config.registry);
  registry->handler_ = std::make_unique<api::platform::RegistryHandler>(
      options, api::platform::RegistryHandler::Ports{
                   .registry = registry->store_,
                   .uploads = registry->uploads_,
                   .hosting = *registry->hosting_,
                   .catalog = ports.catalog,
                   .blobs = ports.artifacts.blobs(),
                   .pool = registry->pool_,
                   .store = registry->transfers_,
                   .clock = ports.store.clock(),
                   .retirement = registry->retirement_,
                   .tests = registry->testing_ == nullptr ? nullptr : &registry->testing_->tests()});
  api::mlflow::MlflowHandler::Options mlflow;
  // Clients send in parts what is larger than 500 MiB; a body is in memory while it comes.
  mlflow.max_artifact = std::max<ByteCount>(
      config.http.max_body, std::min<ByteCount>(mlflow.max_artifact, config.http.max_bytes_in_flight / 2));
  mlflow.max_part = config.http.max_body;
  registry->mlflow_ = std::make_unique<api::mlflow::MlflowHandler>(
      mlflow, api::mlflow::MlflowHandler::Ports{.registry = registry->store_,
                                                .tracking = registry->tracking_,
                                                .artifacts = registry->tracked_,
                                                .blobs = ports.artifacts.blobs(),
                                                .pool = registry->pool_,
                                                .store = registry->transfers_,
                                                .clock = ports.store.clock()});
  return registry;
}

}  // namespace mezzo::app
