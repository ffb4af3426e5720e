#include "mezzo/app/routing.h"

#include <algorithm>

#include "mezzo/base/strings.h"

namespace mezzo::app {
namespace {

/// A change that this host has not taken over by then is answered all the same; it comes later.
constexpr Duration kCatchUpTime = std::chrono::seconds(2);

}  // namespace

Result<void> Routing::CatalogVersions::Check(const std::string& model, std::int64_t version) {
  auto versions = catalog_.VersionsOf(model);
  if (!versions.ok())
    versions = catalog_.VersionsOf(model + "/unet");  // A pipeline's versions are its parts'.
  if (!versions.ok()) {
    return InvalidArgument("route_version_unknown",
                           "this host serves no model '" + Printable(model, 64) + "'");
  }
  if (version == 0 || std::find(versions->begin(), versions->end(), version) != versions->end()) return {};
  std::string known;
  for (const std::int64_t one : *versions) known += (known.empty() ? "" : ", ") + std::to_string(one);
  return InvalidArgument("route_version_unknown", "model '" + Printable(model, 64) + "' has no version " +
                                                      std::to_string(version) + " here; it has " +
                                                      (known.empty() ? "none" : known));
}

Routing::Routing(Ports ports)
    : clock_(ports.clock),
      versions_(ports.catalog),
      router_({}, {.clock = ports.clock,
                   .registry = ports.registry,
                   .aliases = ports.aliases,
                   .outcomes = ports.outcomes}) {
  if (ports.store == nullptr) return;
  const Clock& clock = ports.store->clock();
  store_ = std::make_unique<releases::RouteStore>(
      releases::RouteStore::Options(),
      releases::RouteStore::Ports{
          .db = ports.store->db(), .clock = clock, .versions = &versions_, .aliases = ports.aliases});
  pool_ = std::make_unique<runtime::BlockingPool>(
      runtime::BlockingPool::Options{.name = "routes", .threads = 2, .max_queued = 256});
  feed_ = std::make_unique<releases::RouteFeed>(releases::RouteFeed::Options(),
                                                releases::RouteFeed::Ports{.store = *store_,
                                                                           .db = ports.store->db(),
                                                                           .router = router_,
                                                                           .clock = clock,
                                                                           .log = ports.log,
                                                                           .registry = ports.registry,
                                                                           .health = ports.health});
  handler_ = std::make_unique<api::platform::RoutesHandler>(
      api::platform::RoutesHandler::Options(),
      api::platform::RoutesHandler::Ports{.store = *store_,
                                          .router = router_,
                                          .pool = *pool_,
                                          .clock = clock,
                                          .log = ports.log,
                                          .catch_up = [this] { feed_->CatchUp(kCatchUpTime); }});
}

inference::VersionPick Routing::PickForJob(const tenancy::Tenant& tenant, std::string_view model) const {
  auto route = router_.Find(model);
  if (route == nullptr) return {};
  const std::string& id = tenant.id.str();
  const auto pick = route->Choose({.tenant = id, .random = route->table().PlaceOf(id)}, clock_.Now());
  return {std::move(route), pick, clock_};
}

Result<void> Routing::Start() {
  if (feed_ == nullptr) return {};
  MEZZO_TRY_VOID(feed_->Load());
  feed_->Start();
  return {};
}

void Routing::Stop() {
  if (feed_ != nullptr) feed_->Stop();
}

}  // namespace mezzo::app
