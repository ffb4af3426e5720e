#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/api/mlflow/mlflow_handler.h"
#include "mezzo/api/platform/registry_handler.h"
#include "mezzo/app/artifact_store.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/registered_versions.h"
#include "mezzo/app/server_config.h"
#include "mezzo/app/version_testing.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry_keeper.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/retirement.h"
#include "mezzo/lifecycle/tracked_artifacts.h"
#include "mezzo/lifecycle/tracking_store.h"
#include "mezzo/lifecycle/version_fetcher.h"
#include "mezzo/lifecycle/version_hosting.h"
#include "mezzo/lifecycle/version_supply.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/models/repository_catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::app {

/// What the files of one version may be.
lifecycle::ManifestLimits ManifestLimitsOf(const RegistryConfig& config);

/// The registry of models, wired: its tables, what is uploaded, the versions that this host has fetched and
/// serves, and the protocol.
class ModelRegistry {
 public:
  /// All outlive this.
  struct Ports {
    DataStore& store;
    ArtifactStore& artifacts;
    models::RepositoryCatalog& catalog;
    observe::Logger& log;
    observe::Registry& metrics;
    RegisteredVersions& registered;
    /// What routes of this host name, and what loads a version: VersionSupply's ports.
    std::function<std::vector<lifecycle::VersionSupply::Key>()> needed;
    std::function<Result<void>(const std::string&, const std::string&, TimePoint)> load;
    /// How often this host has answered by versions.
    std::function<std::vector<lifecycle::Retirement::Served>()> traffic;
    lifecycle::VersionOutbox outbox = nullptr;  ///< Told of retirements; null: nobody is.
  };
  /// Where in `data_dir` served versions lie: the last of the catalog's roots, and its `chosen_root`.
  static std::string RootIn(const std::string& data_dir);
  /// Makes that folder, which the catalog reads when it starts. kUnavailable "version_folder".
  static Result<void> MakeRoot(const std::string& data_dir);

  /// Fails with kUnavailable "version_folder" and the database's errors.
  static Result<std::unique_ptr<ModelRegistry>> Open(const ServerConfig& config, Ports ports);

  [[nodiscard]] api::Protocol& handler() { return *handler_; }
  /// The same for MLflow's clients.
  [[nodiscard]] api::Protocol& mlflow() { return *mlflow_; }
  [[nodiscard]] lifecycle::RegistryStore& store() { return store_; }
  [[nodiscard]] lifecycle::VersionUploads& uploads() { return uploads_; }
  /// Versions' files on this host: for whoever tests one.
  [[nodiscard]] lifecycle::VersionFetcher& fetcher() { return *fetcher_; }
  [[nodiscard]] lifecycle::VersionHosting& hosting() { return *hosting_; }
  /// What takes versions out of service: lifecycle's port for pipelines.
  [[nodiscard]] lifecycle::Retirement& retirement() { return retirement_; }
  [[nodiscard]] lifecycle::VersionSupply& supply() { return *supply_; }
  ~ModelRegistry() { Stop(); }
  void Start();
  void Stop();

 private:
  ModelRegistry(const ServerConfig& config, Ports ports);
  Result<void> OpenFolders(const ServerConfig& config);

  const Ports ports_;
  lifecycle::RegistryStore store_;
  std::unique_ptr<VersionTesting> testing_;  // Null: versions are ready as soon as they are complete.
  lifecycle::VersionUploads uploads_;
  lifecycle::TrackingStore tracking_;
  lifecycle::TrackedArtifacts tracked_;
  std::unique_ptr<lifecycle::VersionFetcher> fetcher_;
  std::unique_ptr<lifecycle::VersionHosting> hosting_;
  std::unique_ptr<lifecycle::VersionSupply> supply_;
  runtime::BlockingPool pool_;
  runtime::BlockingPool transfers_;
  std::unique_ptr<api::platform::RegistryHandler> handler_;
  std::unique_ptr<api::mlflow::MlflowHandler> mlflow_;
  lifecycle::Retirement retirement_;
  lifecycle::RegistryKeeper keeper_;  // Last: its thread uses what is above.
};

}  // namespace mezzo::app
