#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "mezzo/api/blob_server.h"
#include "mezzo/api/mlflow/params.h"
#include "mezzo/api/mlflow/source.h"
#include "mezzo/api/protocol.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/tracked_artifacts.h"
#include "mezzo/lifecycle/tracking_store.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::mlflow {

/// MLflow's REST API (docs/guides/mlflow.md, ADR 0045), as far as its client needs it to register models here
/// and to fetch them: /api/2.0/mlflow/registered-models and /model-versions over the registry; experiments,
/// runs and logged-models over what is tracked; /api/2.0/mlflow-artifacts as the place of their files.
/// Everything else is ENDPOINT_NOT_FOUND.
///
/// Changing anything takes the scope `operate`, as at /v1/registry. A model that has a tenant is seen by that
/// tenant alone, and by those who may observe all; what is tracked by its own tenant alone. Errors are
/// MLflow's. Thread-safe.
class MlflowHandler final : public Protocol {
 public:
  static constexpr const char* kRoot = "/api/2.0/mlflow";
  static constexpr const char* kArtifactsRoot = "/api/2.0/mlflow-artifacts";
  static constexpr const char* kServerRoot = "/api/3.0/mlflow";

  struct Options {
    std::size_t max_page = 1000;
    ByteCount max_artifact = ByteCount{512} << 20;  ///< Of a file that comes in one body.
    ByteCount max_part = ByteCount{64} << 20;       ///< Of one that comes in parts.
    Duration database_timeout = std::chrono::seconds(10);
    Duration store_timeout = std::chrono::minutes(10);  ///< Of what reads and writes contents.
    std::size_t max_lineage = 16'384;                   ///< The registry's max_text.
  };
  /// All outlive the handler.
  struct Ports {
    lifecycle::RegistryStore& registry;
    lifecycle::TrackingStore& tracking;
    lifecycle::TrackedArtifacts& artifacts;
    BlobServer& blobs;
    runtime::BlockingPool& pool;   ///< Asks the database.
    runtime::BlockingPool& store;  ///< Moves contents.
    const Clock& clock;
  };
  MlflowHandler(Options options, Ports ports);

  [[nodiscard]] std::span<const Route> routes() const override { return routes_; }
  [[nodiscard]] bool TakesPasswords() const override { return true; }
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override;
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const RouteMatch& match) const override;

 private:
  using Answer = Result<net::HttpResponse>;

  runtime::Task<Answer> Act(runtime::Context ctx, RoutedCall call) const;
  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;

  // registry_calls.cc
  [[nodiscard]] Answer ModelCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer VersionCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer CreateModel(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SearchModels(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SearchVersions(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer LatestVersions(const std::string& model, const Params& params) const;
  [[nodiscard]] Answer CreateVersion(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SetStage(const RoutedCall& call, const std::string& model, std::int64_t version,
                                const Params& params) const;
  [[nodiscard]] Answer ShowModel(const std::string& name) const;
  [[nodiscard]] Result<lifecycle::Lineage> Trace(const TenantId& tenant, const std::string& run) const;
  /// The name, if the caller may see the model.
  [[nodiscard]] Result<std::string> Visible(const RoutedCall& call, const std::string& name) const;

  // tracking_calls.cc
  [[nodiscard]] Answer ExperimentCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer RunCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer NoteCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer LoggedModelCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SearchExperiments(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SearchRuns(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer SearchLoggedModels(const RoutedCall& call, const Params& params) const;

  // artifact_calls.cc
  [[nodiscard]] Answer PutArtifact(const RoutedCall& call) const;
  [[nodiscard]] Answer ListArtifacts(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer DeleteArtifact(const RoutedCall& call) const;
  [[nodiscard]] Answer PartsCall(const RoutedCall& call, const Params& params) const;
  [[nodiscard]] Answer PutPart(const RoutedCall& call) const;
  runtime::Task<Answer> SendArtifact(runtime::Context ctx, RoutedCall call) const;
  [[nodiscard]] Result<lifecycle::ManifestFile> FindArtifact(const RoutedCall& call) const;
  [[nodiscard]] Result<std::vector<lifecycle::ManifestFile>> VersionFiles(const RoutedCall& call,
                                                                          const ModelSource& place) const;

  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }
  [[nodiscard]] TimePoint StoreLimit() const {
    return AddSaturating(ports_.clock.Now(), options_.store_timeout);
  }

  const Options options_;
  const Ports ports_;
  const std::vector<Route> routes_;
};

}  // namespace mezzo::api::mlflow
