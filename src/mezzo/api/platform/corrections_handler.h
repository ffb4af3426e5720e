#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/cache/correction_store.h"
#include "mezzo/inference/service.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// Answers put in place of a model's own (docs/protocol-tenants.md):
///
///     GET     /v1/cache/corrections        ?model ?tenant ?limit ?after
///     POST    /v1/cache/corrections        {"model", "version", "request", "response", "tenant"}: to this v2
///                                          request, answer with the outputs of this v2 response
///     DELETE  /v1/cache/corrections/{id}
///
/// Callers see and change their own tenant's. Whoever may do everything may name another tenant, and corrects
/// models whose answers all tenants share. Errors are problem details. Thread-safe.
class CorrectionsHandler final : public ProblemProtocol {
 public:
  struct Options {
    ByteCount max_body = ByteCount{4} << 20;
    std::size_t max_page = 1000;
    Duration load_timeout = std::chrono::seconds(60);
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    inference::Service& service;
    cache::CorrectionStore& store;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
    observe::Logger& log;
    std::function<void()> catch_up;  ///< Waits until a change holds on this host, before it is answered.
  };
  CorrectionsHandler(Options options, Ports ports);

  static constexpr const char* kRoot = "/v1/cache/corrections";
  [[nodiscard]] std::span<const Route> routes() const override { return routes_; }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;
  /// The body of a POST.
  struct Wish {
    std::string model;
    std::string version;  ///< Empty: what calls without one get.
    std::optional<std::string> tenant;
    std::string request;  ///< JSON.
    std::string outputs;  ///< JSON: the response's outputs as a request's inputs, which they look like.
  };
  static Result<Wish> Parse(std::string_view body);
  [[nodiscard]] Answer List(const RoutedCall& call) const;
  [[nodiscard]] Answer Remove(const RoutedCall& call) const;
  runtime::Task<Answer> Add(runtime::Context ctx, RoutedCall call) const;
  [[nodiscard]] Answer Store(const RoutedCall& call, const Wish& wish,
                             const models::ModelVersion& version) const;
  static Result<cache::Correction> Make(const Wish& wish, const models::ModelVersion& version,
                                        const std::string& tenant);
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
  const std::array<Route, 3> routes_;
};

}  // namespace mezzo::api::platform
