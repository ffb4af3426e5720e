#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/route.h"
#include "mezzo/releases/route_ports.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::releases {

/// Where hosts hear that routes have changed.
inline constexpr const char* kRoutesChannel = "mezzo_routes";

/// Of the module "routes".
std::span<const storage::Migration> RouteMigrations();

/// One revision of a model's route.
struct RouteRevision {
  std::string model;
  std::int64_t revision = 0;  ///< 1, 2, 3, ... of the model.
  Route route;
  std::string who;
  std::string why;
  std::int64_t at_us = 0;  ///< Unix time.
};

/// The versions that a route names: numbers (0: the newest), and aliases.
struct RouteNames {
  std::set<std::int64_t> versions;
  std::set<std::string> aliases;
};
RouteNames NamesOf(const Route& route);
/// Within a transaction: the model's route; nothing when there is none. Fails as ParseRoute().
Result<std::optional<Route>> ReadRoute(storage::SqlSession& session, const std::string& model);

/// Who changes a route, and why.
struct RouteChange {
  std::string who;
  std::string why;  ///< May be empty; at most 500 bytes.
  /// The revision that the change is about; zero: there must be no route yet; nothing: whichever it is.
  std::optional<std::int64_t> expected;
};

/// Routes in the database: one row per model, and all their revisions. A change is one transaction: the row
/// (only if it still is the revision expected), the history, the model's epoch of the cache (ADR 0041), and
/// the word to all hosts. Blocks. Thread-safe; many hosts share one database.
///
/// Errors beyond those named: SqlDb's, CheckRoutedModel()'s, and those of cache::EpochStore::Raise().
class RouteStore {
 public:
  struct Options {
    std::size_t max_routes = 10'000;
    std::size_t max_history = 1000;  ///< Revisions of a model; older ones are forgotten.
  };
  /// All outlive the store.
  struct Ports {
    storage::SqlDb& db;
    const Clock& clock;
    VersionSource* versions = nullptr;     ///< Null: versions are not looked for.
    const AliasSource* aliases = nullptr;  ///< Null: there are none.
    NameCheck* names = nullptr;            ///< Is asked in place of the two above.
  };
  RouteStore(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// Makes the route, or replaces it; an equal one stays at its revision. CheckRoute()'s errors;
  /// kInvalidArgument "route_version_unknown", "route_version_not_ready", "route_alias_unknown",
  /// "route_change"; kFailedPrecondition
  /// "route_revision" when it is not at the revision expected; kResourceExhausted "too_many_routes".
  Result<RouteRevision> Put(const std::string& model, const Route& route, const RouteChange& change,
                            TimePoint deadline);
  /// The route of the revision `to`, or of the one before the newest, as a new revision. kNotFound
  /// "route_unknown", "route_revision_unknown"; those of Put().
  Result<RouteRevision> Rollback(const std::string& model, std::optional<std::int64_t> to,
                                 const RouteChange& change, TimePoint deadline);

  /// kNotFound "route_unknown".
  Result<RouteRevision> Get(const std::string& model, TimePoint deadline);
  /// In the order of models' names, from the one after `after` on. What a newer version of this program has
  /// written is left out, here and in History().
  Result<std::vector<RouteRevision>> List(const std::string& after, std::size_t limit, TimePoint deadline);
  /// Newest first, from below `before` on (0: from the newest). kNotFound "route_unknown".
  Result<std::vector<RouteRevision>> History(const std::string& model, std::int64_t before, std::size_t limit,
                                             TimePoint deadline);

  struct Changes {
    std::int64_t counter = 0;  ///< Of all changes.
    std::vector<RouteRevision> routes;
    std::vector<std::string> unreadable;  ///< Models whose route a newer version of this program has written.
  };
  /// What has changed since the counter was `known` (0: everything); nothing when it still is.
  Result<std::optional<Changes>> Load(std::int64_t known, TimePoint deadline);

 private:
  Result<void> CheckVersions(const std::string& model, const RouteNames& names);
  Result<RouteRevision> Write(storage::SqlSession& session, RouteRevision next, std::int64_t newest,
                              std::int64_t counter);

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::releases
