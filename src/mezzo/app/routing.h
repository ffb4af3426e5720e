#pragma once

#include <memory>
#include <string>

#include "mezzo/api/platform/routes_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/registered_versions.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/version_pick.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/route_feed.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/releases/router.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::app {

/// Which version answers a call, wired: with a database the routes it has; without one there are none, and a
/// model's newest version answers.
class Routing {
 public:
  /// All outlive this. `store` is null without a database.
  struct Ports {
    DataStore* store = nullptr;
    models::Catalog& catalog;
    const Clock& clock;
    observe::Registry& registry;
    observe::Logger& log;
    observe::Health& health;
    RegisteredVersions* registered = nullptr;   ///< Null without a database.
    releases::OutcomeSink* outcomes = nullptr;  ///< Null: nobody keeps them.
  };
  explicit Routing(Ports ports);

  [[nodiscard]] const releases::Router& router() const { return router_; }
  /// For a job, which has no headers: where nothing else keeps callers together, by its tenant.
  [[nodiscard]] inference::VersionPick PickForJob(const tenancy::Tenant& tenant,
                                                  std::string_view model) const;
  /// Null without a database.
  [[nodiscard]] releases::RouteStore* store() { return store_.get(); }
  /// Null without a database.
  [[nodiscard]] api::Protocol* handler() { return handler_.get(); }
  /// Reads the routes. Fails with the database's errors.
  Result<void> Start();
  void Stop();

 private:
  const Clock& clock_;
  releases::Router router_;
  // With a database:
  std::unique_ptr<releases::RouteStore> store_;
  std::unique_ptr<runtime::BlockingPool> pool_;
  std::unique_ptr<releases::RouteFeed> feed_;
  std::unique_ptr<api::platform::RoutesHandler> handler_;
};

}  // namespace mezzo::app
