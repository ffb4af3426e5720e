#pragma once

#include <cstddef>
#include <string>

#include "mezzo/api/blob_server.h"
#include "mezzo/api/platform/problem.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/retirement.h"
#include "mezzo/lifecycle/version_hosting.h"
#include "mezzo/lifecycle/version_test_store.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// The model registry (docs/guides/registry.md):
///
///     GET, POST           /v1/registry/models                  ?name ?prefix ?like ?ilike ?tag=k=v ?alias
///     GET, PATCH, DELETE  /v1/registry/models/{m}              ?order ?limit ?after, as of the other lists
///     GET                 /v1/registry/models/{m}/history      ?version ?alias ?before ?limit
///     GET                 /v1/registry/models/{m}/at           ?time: what its names stood for
///     PUT, DELETE         /v1/registry/models/{m}/aliases/{a}
///     PUT, DELETE         /v1/registry/models/{m}/tags         ?key; …/versions/{v}/tags likewise
///     GET                 /v1/registry/versions                of all models, or ?model
///     GET, POST           /v1/registry/models/{m}/versions
///     GET                 /v1/registry/models/{m}/versions/{v} a number, an alias or "latest"
///     PATCH, DELETE       /v1/registry/models/{m}/versions/{v}
///     GET                 …/{v}/missing                        contents that are to be sent
///     POST                …/{v}/complete
///     GET                 …/{v}/test                           the report of its test
///     POST                …/{v}/load, …/{v}/unload             on this host
///     POST                …/{v}/retire, …/{v}/restore          out of service, and back, on all
///     GET                 …/{v}/contents/{sha256}              a file
///     GET, PUT            /v1/registry/blobs/{sha256}          a content: what is here; the next piece
///     GET                 /v1/registry/retirements             versions that are leaving, or have left
///     GET                 /v1/registry/served                  what this host serves
///
/// Changing anything takes the scope `operate`. A model that has a tenant is seen by that tenant alone, and
/// by those who may observe all. Errors are problem details. Thread-safe.
class RegistryHandler final : public ProblemProtocol {
 public:
  static constexpr const char* kRoot = "/v1/registry";

  struct Options {
    std::size_t max_page = 1000;
    ByteCount max_piece = ByteCount{64} << 20;  ///< Of a PUT of a content.
    Duration database_timeout = std::chrono::seconds(10);
    Duration store_timeout = std::chrono::minutes(10);  ///< Of what reads and writes contents.
    Duration fetch_timeout = std::chrono::minutes(30);
    lifecycle::ManifestLimits limits;
  };
  /// All outlive the handler.
  struct Ports {
    lifecycle::RegistryStore& registry;
    lifecycle::VersionUploads& uploads;
    lifecycle::VersionHosting& hosting;
    models::Catalog& catalog;
    BlobServer& blobs;
    runtime::BlockingPool& pool;   ///< Asks the database.
    runtime::BlockingPool& store;  ///< Moves contents.
    const Clock& clock;
    lifecycle::Retirement& retirement;
    lifecycle::VersionTestStore* tests = nullptr;  ///< Null: versions are not tested.
  };
  RegistryHandler(Options options, Ports ports);

  [[nodiscard]] std::span<const Route> routes() const override { return routes_; }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  runtime::Task<Answer> Act(runtime::Context ctx, RoutedCall call) const;
  runtime::Task<Answer> Load(runtime::Context ctx, RoutedCall call) const;
  runtime::Task<Answer> SendContent(runtime::Context ctx, RoutedCall call) const;
  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer DispatchVersion(const RoutedCall& call) const;
  [[nodiscard]] Answer ListModels(const RoutedCall& call) const;
  [[nodiscard]] Answer ListVersions(const RoutedCall& call, const std::string& model) const;
  [[nodiscard]] Answer ChangeModel(const RoutedCall& call) const;
  [[nodiscard]] Answer CreateVersion(const RoutedCall& call) const;
  [[nodiscard]] Answer ShowVersion(const RoutedCall& call) const;
  [[nodiscard]] Answer ChangeVersion(const RoutedCall& call, std::int64_t version) const;
  [[nodiscard]] Answer History(const RoutedCall& call) const;
  [[nodiscard]] Answer At(const RoutedCall& call) const;
  [[nodiscard]] Answer PutContent(const RoutedCall& call) const;
  [[nodiscard]] Answer Retire(const RoutedCall& call) const;
  [[nodiscard]] Answer ShowTest(const std::string& model, std::int64_t version) const;
  [[nodiscard]] Answer ShowServed() const;
  [[nodiscard]] Answer ShowRetirements(const RoutedCall& call) const;
  /// The path's model, if the caller may see it.
  [[nodiscard]] Result<std::string> ModelOf(const RoutedCall& call) const;
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

}  // namespace mezzo::api::platform
