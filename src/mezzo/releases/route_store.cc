#include "mezzo/releases/route_store.h"

#include <array>
#include <limits>
#include <set>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"
#include "mezzo/cache/epoch_store.h"

namespace mezzo::releases {
namespace {

using storage::SqlRows;
using storage::SqlSession;

constexpr std::size_t kMaxWhy = 500;
constexpr std::size_t kMaxWho = 256;

// Times are microseconds of the wall clock. `route_changes` has one row, which every change counts up first:
// changes come one after the other, and a reader that sees a count sees all changes up to it. `changed` is
// what it was when the row was written.
constexpr std::string_view kTables = R"sql(
CREATE TABLE route_changes (
  one BIGINT NOT NULL PRIMARY KEY,
  counter BIGINT NOT NULL
);
INSERT INTO route_changes (one, counter) VALUES (1, 1);

CREATE TABLE model_routes (
  model TEXT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL,
  route TEXT NOT NULL,
  changed_by TEXT NOT NULL,
  why TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  changed BIGINT NOT NULL
);
CREATE INDEX model_routes_changed ON model_routes (changed);

CREATE TABLE model_route_history (
  model TEXT NOT NULL,
  revision BIGINT NOT NULL,
  route TEXT NOT NULL,
  changed_by TEXT NOT NULL,
  why TEXT NOT NULL,
  at_us BIGINT NOT NULL,
  PRIMARY KEY (model, revision)
);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "routes", .sql = kTables, .sqlite = "", .postgres = ""}}};

std::int64_t ToMicros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

Error NoRoute(const std::string& model) {
  return NotFound("route_unknown", "model '" + Printable(model, 64) + "' has no route");
}

/// Columns: model, revision, route, changed_by, why, at_us.
Result<RouteRevision> RevisionAt(const SqlRows& rows, std::size_t row) {
  MEZZO_TRY(Route route, ParseRoute(rows.Text(row, 2)));
  return RouteRevision{.model = rows.Text(row, 0),
                       .revision = rows.Int(row, 1),
                       .route = std::move(route),
                       .who = rows.Text(row, 3),
                       .why = rows.Text(row, 4),
                       .at_us = rows.Int(row, 5)};
}

Result<void> CheckChange(const RouteChange& change) {
  if (change.why.size() > kMaxWhy || !IsUtf8(change.why) || change.why.find('\0') != std::string::npos) {
    return InvalidArgument("route_change", "the reason of a change must be text of at most " +
                                               std::to_string(kMaxWhy) + " bytes");
  }
  if (change.who.size() > kMaxWho) {
    return InvalidArgument("route_change",
                           "the author of a change must have at most " + std::to_string(kMaxWho) + " bytes");
  }
  return {};
}

/// Counts the change up; who comes next waits.
Result<std::int64_t> CountUp(SqlSession& session) {
  MEZZO_TRY_VOID(session.Run("UPDATE route_changes SET counter = counter + 1 WHERE one = 1", {}));
  MEZZO_TRY(const SqlRows counter, session.Run("SELECT counter FROM route_changes WHERE one = 1", {}));
  if (counter.empty()) return Internal("route_changes", "the table route_changes has lost its row");
  return counter.Int(0, 0);
}

struct Newest {
  std::int64_t revision = 0;
  std::string text;
};

/// Revision zero: there is none.
Result<Newest> FindNewest(SqlSession& session, const std::string& model) {
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT revision, route FROM model_routes WHERE model = $1", {model}));
  if (rows.empty()) return Newest();
  return Newest{.revision = rows.Int(0, 0), .text = rows.Text(0, 1)};
}

Result<void> CheckExpected(const std::string& model, const RouteChange& change, std::int64_t newest) {
  if (!change.expected || *change.expected == newest) return {};
  if (newest == 0) {
    return FailedPrecondition("route_revision", "the route of model '" + Printable(model, 64) +
                                                    "' was expected at revision " +
                                                    std::to_string(*change.expected) + ", and there is none");
  }
  return FailedPrecondition("route_revision", "the route of model '" + Printable(model, 64) +
                                                  "' is at revision " + std::to_string(newest) +
                                                  "; the change was for revision " +
                                                  std::to_string(*change.expected));
}

}  // namespace

std::span<const storage::Migration> RouteMigrations() { return kMigrations; }

RouteNames NamesOf(const Route& route) {
  RouteNames names;
  const auto note = [&](const VersionName& version) {
    if (version.kind == VersionName::Kind::kAlias) {
      names.aliases.insert(version.alias);
    } else {
      names.versions.insert(version.number);
    }
  };
  note(route.stable);
  for (const RouteRule& rule : route.rules) note(rule.version);
  for (const RouteArm& arm : route.arms) note(arm.version);
  for (const RouteShadow& shadow : route.shadows) note(shadow.version);
  return names;
}

Result<std::optional<Route>> ReadRoute(SqlSession& session, const std::string& model) {
  MEZZO_TRY(const Newest newest, FindNewest(session, model));
  if (newest.revision == 0) return std::optional<Route>();
  MEZZO_TRY(Route route, ParseRoute(newest.text));
  return std::optional<Route>(std::move(route));
}

Result<void> RouteStore::CheckVersions(const std::string& model, const RouteNames& names) {
  std::set<std::int64_t> numbers = names.versions;
  for (const std::string& alias : names.aliases) {
    const auto number = ports_.aliases == nullptr ? std::nullopt : ports_.aliases->VersionOf(model, alias);
    if (!number) {
      return InvalidArgument("route_alias_unknown", "model '" + Printable(model, 64) + "' has no alias '" +
                                                        Printable(alias, 64) + "'");
    }
    numbers.insert(*number);
  }
  if (ports_.versions == nullptr) return {};
  for (const std::int64_t number : numbers) MEZZO_TRY_VOID(ports_.versions->Check(model, number));
  return {};
}

Result<RouteRevision> RouteStore::Write(SqlSession& session, RouteRevision next, std::int64_t newest,
                                        std::int64_t counter) {
  if (newest == 0) {
    MEZZO_TRY(const SqlRows count, session.Run("SELECT COUNT(*) FROM model_routes", {}));
    if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_routes) {
      return ResourceExhausted("too_many_routes",
                               "there are " + std::to_string(options_.max_routes) + " routes already");
    }
  }
  next.revision = newest + 1;
  const std::string text = RouteText(next.route);
  MEZZO_TRY_VOID(session.Run(
      "INSERT INTO model_routes (model, revision, route, changed_by, why, at_us, changed) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (model) DO UPDATE SET revision = excluded.revision, "
      "route = excluded.route, changed_by = excluded.changed_by, why = excluded.why, at_us = excluded.at_us, "
      "changed = excluded.changed",
      {next.model, next.revision, text, next.who, next.why, next.at_us, counter}));
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO model_route_history (model, revision, route, changed_by, why, at_us) "
                  "VALUES ($1, $2, $3, $4, $5, $6)",
                  {next.model, next.revision, text, next.who, next.why, next.at_us}));
  MEZZO_TRY_VOID(session.Run("DELETE FROM model_route_history WHERE model = $1 AND revision <= $2",
                             {next.model, next.revision - static_cast<std::int64_t>(options_.max_history)}));
  MEZZO_TRY_VOID(cache::EpochStore::Raise(session, next.model));
  MEZZO_TRY_VOID(session.Notify({.channel = kRoutesChannel, .payload = ""}));
  return next;
}

Result<RouteRevision> RouteStore::Put(const std::string& model, const Route& route, const RouteChange& change,
                                      TimePoint deadline) {
  MEZZO_TRY_VOID(CheckRoutedModel(model));
  MEZZO_TRY_VOID(CheckRoute(route));
  MEZZO_TRY_VOID(CheckChange(change));
  const RouteNames names = NamesOf(route);
  if (ports_.names == nullptr) MEZZO_TRY_VOID(CheckVersions(model, names));
  std::optional<RouteRevision> put;
  const auto work = [&](SqlSession& session) -> Result<void> {
    put.reset();
    MEZZO_TRY(const std::int64_t counter, CountUp(session));
    MEZZO_TRY(const Newest newest, FindNewest(session, model));
    MEZZO_TRY_VOID(CheckExpected(model, change, newest.revision));
    if (newest.text == RouteText(route)) return {};
    if (ports_.names != nullptr) {
      MEZZO_TRY_VOID(ports_.names->Check(session, model, names.versions, names.aliases));
    }
    RouteRevision next{.model = model,
                       .route = route,
                       .who = change.who,
                       .why = change.why,
                       .at_us = ToMicros(ports_.clock.WallNow())};
    MEZZO_TRY(put, Write(session, std::move(next), newest.revision, counter));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  if (!put) return Get(model, deadline);
  return *std::move(put);
}

Result<RouteRevision> RouteStore::Rollback(const std::string& model, std::optional<std::int64_t> to,
                                           const RouteChange& change, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckChange(change));
  std::optional<RouteRevision> put;
  const auto work = [&](SqlSession& session) -> Result<void> {
    put.reset();
    MEZZO_TRY(const std::int64_t counter, CountUp(session));
    MEZZO_TRY(const Newest newest, FindNewest(session, model));
    if (newest.revision == 0) return NoRoute(model);
    MEZZO_TRY_VOID(CheckExpected(model, change, newest.revision));
    const std::int64_t wanted = to.value_or(newest.revision - 1);
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, revision, route, changed_by, why, at_us FROM model_route_history "
                          "WHERE model = $1 AND revision = $2",
                          {model, wanted}));
    if (rows.empty()) {
      return NotFound("route_revision_unknown", "the route of model '" + Printable(model, 64) +
                                                    "' has no revision " + std::to_string(wanted) +
                                                    " to go back to");
    }
    MEZZO_TRY(RouteRevision next, RevisionAt(rows, 0));
    if (rows.Text(0, 2) == newest.text) return {};
    if (ports_.names != nullptr) {
      const RouteNames names = NamesOf(next.route);
      MEZZO_TRY_VOID(ports_.names->Check(session, model, names.versions, names.aliases));
    }
    next.who = change.who;
    next.why = change.why.empty() ? "rollback to revision " + std::to_string(wanted) : change.why;
    next.at_us = ToMicros(ports_.clock.WallNow());
    MEZZO_TRY(put, Write(session, std::move(next), newest.revision, counter));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Transact(work, deadline));
  if (!put) return Get(model, deadline);
  return *std::move(put);
}

Result<RouteRevision> RouteStore::Get(const std::string& model, TimePoint deadline) {
  std::optional<RouteRevision> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.reset();
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT model, revision, route, changed_by, why, at_us "
                                              "FROM model_routes WHERE model = $1",
                                              {model}));
    if (rows.empty()) return {};
    MEZZO_TRY(found, RevisionAt(rows, 0));
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  if (!found) return NoRoute(model);
  return *std::move(found);
}

Result<std::vector<RouteRevision>> RouteStore::List(const std::string& after, std::size_t limit,
                                                    TimePoint deadline) {
  std::vector<RouteRevision> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, revision, route, changed_by, why, at_us FROM model_routes "
                          "WHERE model > $1 ORDER BY model LIMIT $2",
                          {after, static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (auto one = RevisionAt(rows, row); one.ok()) found.push_back(*std::move(one));
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  return found;
}

Result<std::vector<RouteRevision>> RouteStore::History(const std::string& model, std::int64_t before,
                                                       std::size_t limit, TimePoint deadline) {
  const std::int64_t below = before > 0 ? before : std::numeric_limits<std::int64_t>::max();
  std::vector<RouteRevision> found;
  bool known = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(const Newest newest, FindNewest(session, model));
    known = newest.revision > 0;
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, revision, route, changed_by, why, at_us FROM model_route_history "
                          "WHERE model = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3",
                          {model, below, static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (auto one = RevisionAt(rows, row); one.ok()) found.push_back(*std::move(one));
    }
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  if (!known) return NoRoute(model);
  return found;
}

Result<std::optional<RouteStore::Changes>> RouteStore::Load(std::int64_t known, TimePoint deadline) {
  std::optional<Changes> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.reset();
    MEZZO_TRY(const SqlRows counter, session.Run("SELECT counter FROM route_changes WHERE one = 1", {}));
    if (counter.empty()) return Internal("route_changes", "the table route_changes has lost its row");
    if (counter.Int(0, 0) == known) return {};
    // A counter that went back is another database: everything is read.
    const std::int64_t since = counter.Int(0, 0) > known ? known : 0;
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT model, revision, route, changed_by, why, at_us FROM model_routes "
                          "WHERE changed > $1",
                          {since}));
    Changes changes{.counter = counter.Int(0, 0), .routes = {}, .unreadable = {}};
    for (std::size_t row = 0; row < rows.size(); ++row) {
      auto one = RevisionAt(rows, row);
      if (one.ok()) {
        changes.routes.push_back(*std::move(one));
      } else {
        changes.unreadable.push_back(rows.Text(row, 0));
      }
    }
    found = std::move(changes);
    return {};
  };
  MEZZO_TRY_VOID(ports_.db.Read(work, deadline));
  return found;
}

}  // namespace mezzo::releases
