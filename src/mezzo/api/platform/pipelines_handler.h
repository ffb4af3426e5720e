#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/pipeline_store.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// Pipelines and their runs (docs/guides/pipelines.md):
///
///     GET    /v1/pipelines                        ?model ?template ?limit ?after (a name)
///     PUT    /v1/pipelines/{name}                 YAML; ?why, If-Match
///     GET    /v1/pipelines/{name}     DELETE ...
///     GET    /v1/pipelines/{name}/history         ?limit ?before (a revision)
///     POST   /v1/pipelines/{name}/runs            201, or 200 when it joined one that is queued
///     GET    /v1/pipelines/{name}/runs            ?state ?limit ?before (an id)
///     GET    /v1/pipeline-runs                    the same of all, ?model
///     GET    /v1/pipeline-runs/{id}               GET .../events
///     POST   /v1/pipeline-runs/{id}/COMMAND       approve, reject, cancel, retry
///     POST   /v1/pipeline-events                  an event, or Alertmanager's alerts
///
/// Who may approve is a stage's to say: a caller with the scope admin is an admin, with operate an operator.
/// Errors are problem details. Thread-safe.
class PipelinesHandler final : public ProblemProtocol {
 public:
  struct Options {
    std::size_t max_page = 1000;
    Duration database_timeout = std::chrono::seconds(10);
    Duration put_timeout = std::chrono::seconds(30);  ///< Templates rebuild what is made of them.
  };
  /// All outlive the handler. `clock` is the hosts' shared one.
  struct Ports {
    lifecycle::PipelineStore& store;
    lifecycle::PipelineRules rules;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
  };
  PipelinesHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer List(const RoutedCall& call) const;
  [[nodiscard]] Answer Put(const RoutedCall& call, const std::string& name) const;
  [[nodiscard]] Answer History(const RoutedCall& call, const std::string& name) const;
  [[nodiscard]] Answer Run(const RoutedCall& call, const std::string& name) const;
  [[nodiscard]] Answer Runs(const RoutedCall& call, const std::string& pipeline) const;
  [[nodiscard]] Answer Events(const RoutedCall& call, const std::string& id) const;
  [[nodiscard]] Answer Obey(const RoutedCall& call, const std::string& id,
                            lifecycle::RunCommand command) const;
  [[nodiscard]] Answer Fire(const RoutedCall& call) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
