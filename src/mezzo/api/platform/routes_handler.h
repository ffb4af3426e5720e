#pragma once

#include <functional>
#include <string>

#include "mezzo/api/platform/problem.h"
#include "mezzo/base/clock.h"
#include "mezzo/observe/log.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/releases/router.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::platform {

/// Routes of models to their versions (docs/guides/routes.md):
///
///     GET         /v1/routes                   ?limit ?after
///     GET, PUT    /v1/routes/{model}           PUT: the route as the body; If-Match, ?why
///     GET         /v1/routes/{model}/history   ?limit ?before
///     POST        /v1/routes/{model}/rollback  {"revision", "why"}, both may be left out; If-Match
///
/// If-Match has the revision that the change is about, in quotes, as ETag does; "0": there is none yet.
/// A change for another revision is 412. Changes are answered when they hold on this host. Errors are problem
/// details. Thread-safe.
class RoutesHandler final : public ProblemProtocol {
 public:
  static constexpr const char* kRoot = "/v1/routes";

  struct Options {
    std::size_t max_page = 1000;
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the handler.
  struct Ports {
    releases::RouteStore& store;
    const releases::Router& router;  ///< Of this host.
    runtime::BlockingPool& pool;     ///< Asks the database.
    const Clock& clock;
    observe::Logger& log;
    /// Waits until a change holds on this host, before it is answered. Null: nothing.
    std::function<void()> catch_up;
  };
  RoutesHandler(Options options, Ports ports) : options_(options), ports_(std::move(ports)) {}

  [[nodiscard]] std::span<const Route> routes() const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;

  [[nodiscard]] Answer Dispatch(const RoutedCall& call) const;
  [[nodiscard]] Answer List(const RoutedCall& call) const;
  [[nodiscard]] Answer History(const RoutedCall& call, const std::string& model) const;
  [[nodiscard]] Answer Put(const RoutedCall& call, const std::string& model) const;
  [[nodiscard]] Answer Rollback(const RoutedCall& call, const std::string& model) const;
  /// What a change came to: told to the log, waited for, answered.
  [[nodiscard]] Answer Changed(const releases::RouteRevision& made) const;
  [[nodiscard]] TimePoint Limit() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
