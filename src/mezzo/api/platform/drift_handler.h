#pragma once

#include <cstddef>
#include <string>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/drift_monitor.h"
#include "mezzo/lifecycle/drift_store.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// Drift of versions (docs/guides/drift.md):
///
///     GET   /v1/drift                       ?model; versions that are watched, without histograms
///     GET   /v1/drift/{m}/{v}               with histograms, for plots
///     POST  /v1/drift/{m}/{v}/reset         the next calls are the reference; {"from": v}: version v's is
///
/// Errors are problem details. Thread-safe.
class DriftHandler final : public ProblemProtocol {
 public:
  static constexpr const char* kRoot = "/v1/drift";
  struct Options {
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    lifecycle::DriftStore& store;
    const lifecycle::DriftMonitor& monitor;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
  };
  DriftHandler(Options options, Ports ports) : options_(options), ports_(ports) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;
  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer Show(const std::string& model, std::optional<std::int64_t> version) const;
  [[nodiscard]] Answer Reset(const RoutedCall& call) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
