#include "mezzo/app/routing.h"

#include <functional>

namespace mezzo::app {
namespace {

/// A change that this host has not taken over by then is answered all the same; it comes later.
constexpr Duration kCatchUpTime = std::chrono::seconds(2);

/// Null without a registry: whatever a route says is in force at once.
std::function<bool(const std::string&, const releases::Route&)> ReadyBy(RegisteredVersions* registered) {
  if (registered == nullptr) return nullptr;
  return [registered](const std::string& model, const releases::Route& route) {
    return registered->IsReady(model, route);
  };
}

}  // namespace

Routing::Routing(Ports ports)
    : clock_(ports.clock),
      router_({}, {.clock = ports.clock,
                   .registry = ports.registry,
                   .aliases = ports.registered,
                   .outcomes = ports.outcomes}) {
  if (ports.store == nullptr) return;
  const Clock& clock = ports.store->clock();
  store_ = std::make_unique<releases::RouteStore>(
      releases::RouteStore::Options(),
      releases::RouteStore::Ports{
          .db = ports.store->db(), .clock = clock, .aliases = ports.registered, .names = ports.registered});
  pool_ = std::make_unique<runtime::BlockingPool>(
      runtime::BlockingPool::Options{.name = "routes", .threads = 2, .max_queued = 256});
  feed_ = std::make_unique<releases::RouteFeed>(
      releases::RouteFeed::Options(), releases::RouteFeed::Ports{.store = *store_,
                                                                 .db = ports.store->db(),
                                                                 .router = router_,
                                                                 .clock = clock,
                                                                 .log = ports.log,
                                                                 .registry = ports.registry,
                                                                 .health = ports.health,
                                                                 .aliases = ports.registered,
                                                                 .ready = ReadyBy(ports.registered)});
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
