#include "mezzo/releases/route_feed.h"

#include <utility>
#include <vector>

namespace mezzo::releases {

RouteFeed::RouteFeed(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      check_(ports.health.NewCheck("routes", observe::HealthKind::kDegraded)),
      feed_({.thread = "routes",
             .channel = kRoutesChannel,
             .poll = options.poll,
             .trusted = options.trusted,
             .failed = "routes can't be read: calls go where they went before",
             .recovered = "routes are read again"},
            {.db = &ports.db,
             .clock = ports.clock,
             .log = ports.log,
             .read = [this](TimePoint) { return Follow(); }}),
      fresh_(ports.registry.NewCallbackGauge("mezzo_route_fresh",
                                             "1 while this host has read the routes within the last seconds.",
                                             [this] { return IsFresh(ports_.clock.Now()) ? 1.0 : 0.0; })) {}

Result<void> RouteFeed::Load() { return Follow(); }

Result<void> RouteFeed::Follow() {
  Result<void> refreshed = Refresh();
  if (refreshed.ok()) {
    check_.Ok();
  } else {
    check_.Fail(refreshed.error().message());
  }
  return refreshed;
}

Result<void> RouteFeed::Refresh() {
  MEZZO_TRY(auto changes,
            ports_.store.Load(known_, AddSaturating(ports_.clock.Now(), options_.database_timeout)));
  std::vector<RouteRecord> records;
  if (changes) {
    for (const std::string& model : changes->unreadable) {
      ports_.log.Warn(
          "a route can't be read, as another version of the server has written it: the model's "
          "calls go where they went before",
          {{"model", model}});
    }
    for (RouteRevision& one : changes->routes) {
      records.push_back(
          {.model = std::move(one.model), .revision = one.revision, .route = std::move(one.route)});
    }
    known_ = changes->counter;
  }
  ports_.router.Update(std::move(records));
  return {};
}

}  // namespace mezzo::releases
