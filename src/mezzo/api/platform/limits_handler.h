#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/limit_store.h"

namespace mezzo::api::platform {

/// Limits (docs/protocol-tenants.md):
///
///     GET         /v1/limits          ?limit ?after; those of the configuration stand on the first page
///     GET, PUT    /v1/limits/{name}   PUT makes or replaces it
///     DELETE      /v1/limits/{name}
///
/// What the configuration declares is shown, and can't be changed here ("limit_declared"). Errors are problem
/// details. Thread-safe.
class LimitsHandler final : public ProblemProtocol {
 public:
  struct Options {
    std::size_t max_page = 1000;
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    tenancy::LimitStore& store;
    runtime::BlockingPool& pool;  ///< Asks the database.
    const Clock& clock;
    /// Waits until a change holds on this host, before it is answered. Null: nothing.
    std::function<void()> catch_up;
  };
  LimitsHandler(Options options, Ports ports, std::vector<tenancy::Limit> declared)
      : options_(options), ports_(std::move(ports)), declared_(std::move(declared)) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer List(const RoutedCall& call) const;
  [[nodiscard]] Answer Put(const RoutedCall& call, const std::string& name) const;
  [[nodiscard]] const tenancy::Limit* Declared(const std::string& name) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
  const std::vector<tenancy::Limit> declared_;
};

}  // namespace mezzo::api::platform
