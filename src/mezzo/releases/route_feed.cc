#include "mezzo/releases/route_feed.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace mezzo::releases {

observe::Histogram& RouteDelays(observe::Registry& registry, std::string_view of) {
  return registry
      .NewHistogramFamily(
          "mezzo_route_delay_seconds",
          "From the change of a route, or of an alias that one names, to its being in force on "
          "this host, if it did not have to wait here for a version.",
          {"of"})
      .With({of});
}

RouteFeed::RouteFeed(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      check_(ports.health.NewCheck("routes", observe::HealthKind::kDegraded)),
      delays_(RouteDelays(ports.registry, "route")),
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
                                             [this] { return IsFresh(ports_.clock.Now()) ? 1.0 : 0.0; })),
      held_gauge_(ports_.registry.NewCallbackGauge(
          "mezzo_route_held", "Routes that wait on this host for the versions that they name.",
          [this] { return static_cast<double>(held_count_.load(std::memory_order_relaxed)); })) {}

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
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  MEZZO_TRY(auto changes, ports_.store.Load(known_, deadline));
  // Behind the routes, so that what they name is known; before the router takes them over.
  if (ports_.aliases != nullptr) MEZZO_TRY_VOID(ports_.aliases->Refresh(deadline));
  const TimePoint now = ports_.clock.Now();
  if (changes) {
    const bool new_here = known_ > 0 && changes->counter > known_;
    for (const std::string& model : changes->unreadable) {
      ports_.log.Warn(
          "a route can't be read, as another version of the server has written it: the model's "
          "calls go where they went before",
          {{"model", model}});
    }
    for (RouteRevision& one : changes->routes) {
      std::string model = one.model;
      RouteRecord record{
          .model = std::move(one.model), .revision = one.revision, .route = std::move(one.route)};
      std::optional<WallTime> written;
      if (new_here) written = WallTime(std::chrono::microseconds(one.at_us));
      held_.insert_or_assign(std::move(model),
                             Held{.record = std::move(record), .since = now, .written = written});
    }
    known_ = changes->counter;
  }
  std::vector<RouteRecord> records;
  std::vector<WallTime> written;
  for (auto at = held_.begin(); at != held_.end();) {
    Held& held = at->second;
    const bool first = ports_.ready == nullptr || ports_.router.Find(at->first) == nullptr;
    const bool late = now - held.since >= options_.longest_hold;
    if (!first && !ports_.ready(at->first, held.record.route) && !late) {
      held.written.reset();
      ++at;
      continue;
    }
    if (late) {
      ports_.log.Warn("a route is in force though its versions have not come to this host",
                      {{"model", at->first}, {"revision", held.record.revision}});
    }
    if (held.written) written.push_back(*held.written);
    records.push_back(std::move(held.record));
    at = held_.erase(at);
  }
  held_count_.store(held_.size(), std::memory_order_relaxed);
  ports_.router.Update(std::move(records));
  const WallTime in_force = ports_.clock.WallNow();
  for (const WallTime each : written) delays_.Observe(std::max<Duration>(in_force - each, Duration::zero()));
  return {};
}

}  // namespace mezzo::releases
