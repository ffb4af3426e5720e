#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/releases/router.h"
#include "mezzo/storage/change_feed.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::releases {

/// How long a change takes from its row to this host, "route" or "alias": what waited here for a version, and
/// what was there when the host began, does not count.
observe::Histogram& RouteDelays(observe::Registry& registry, std::string_view of);

/// Keeps a host's routes as the database has them: a notification tells of a change within milliseconds, a
/// poll finds it in any case within half a second, and with it aliases that have moved. While the database
/// can't be read the host goes on with the routes it knows, and says so: the check "routes" of Health fails
/// (degraded, not unready), and `mezzo_route_fresh` is 0.
///
/// A route whose versions this host has yet to get does not take its predecessor's place before they are
/// here: until then, for `longest_hold` at most, calls go where they went before (`mezzo_route_held`). A
/// model's first route is in force at once.
///
/// A thread of its own. Thread-safe.
class RouteFeed {
 public:
  struct Options {
    Duration poll = std::chrono::milliseconds(500);
    Duration trusted = std::chrono::seconds(5);  ///< Routes read longer ago count as old.
    Duration database_timeout = std::chrono::seconds(10);
    Duration longest_hold = std::chrono::minutes(10);
  };
  /// All outlive the feed.
  struct Ports {
    RouteStore& store;
    storage::SqlDb& db;  ///< Tells of changes.
    Router& router;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& registry;
    observe::Health& health;
    AliasSource* aliases = nullptr;  ///< Is read anew before each update of the router; null: there are none.
    /// Whether this host can answer by the route now; is asked again at each poll. Null: it always can.
    std::function<bool(const std::string& model, const Route& route)> ready = nullptr;
  };
  RouteFeed(Options options, Ports ports);
  ~RouteFeed() { Stop(); }
  RouteFeed(const RouteFeed&) = delete;
  RouteFeed& operator=(const RouteFeed&) = delete;

  /// Reads for the first time. Fails with the database's errors.
  Result<void> Load();
  /// Keeps up from now on, until Stop(). After Load().
  void Start() { feed_.Start(); }
  void Stop() { feed_.Stop(); }
  /// Waits until the router has whatever the database had when this was called, at most for `limit`; whether
  /// it has. Blocks; after Start().
  bool CatchUp(Duration limit) { return feed_.CatchUp(limit); }
  /// Whether the routes are as old as Options::trusted allows. One atomic.
  [[nodiscard]] bool IsFresh(TimePoint now) const { return feed_.IsFresh(now); }

 private:
  Result<void> Follow();
  Result<void> Refresh();

  struct Held {
    RouteRecord record;
    TimePoint since{};
    std::optional<WallTime> written;  ///< When it counts for RouteDelays().
  };

  const Options options_;
  const Ports ports_;
  observe::HealthCheck check_;
  observe::Histogram& delays_;
  // The feed's thread only, and Load() before it:
  std::int64_t known_ = 0;
  std::map<std::string, Held> held_;        // By model: routes that wait for their versions.
  std::atomic<std::size_t> held_count_{0};  // What the metric shows; no partner.
  storage::ChangeFeed feed_;                // Its thread uses everything above.
  observe::Callback fresh_;                 // Last: they read the feed.
  observe::Callback held_gauge_;
};

}  // namespace mezzo::releases
