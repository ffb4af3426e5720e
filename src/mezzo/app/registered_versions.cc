#include "mezzo/app/registered_versions.h"

#include <algorithm>
#include <array>

#include "mezzo/base/strings.h"
#include "mezzo/cache/epoch_store.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/releases/route_store.h"

namespace mezzo::app {
namespace {

using storage::SqlRows;
using storage::SqlSession;
using State = lifecycle::VersionSupply::State;

constexpr std::string_view kWaiting = "a route or an alias that is about to be in force there";

std::optional<std::int64_t> NumberOf(std::string_view version) {
  const auto number = ParseUint(version);
  if (!number || *number == 0 || *number > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

bool Names(const releases::Release& release, std::int64_t version) {
  const std::string text = std::to_string(version);
  const auto& spec = release.spec;
  return spec.stable == text || spec.candidate == text ||
         std::any_of(spec.arms.begin(), spec.arms.end(),
                     [&](const auto& arm) { return arm.version == text; });
}

}  // namespace

Result<void> RegisteredVersions::Refresh(TimePoint deadline) {
  SqlRows rows;
  const auto limit = static_cast<std::int64_t>(options_.max_aliases);
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(rows, session.Run("SELECT m.name, a.alias, a.version, a.updated_us FROM model_routes r "
                                "JOIN registry_models m ON m.name = r.model "
                                "JOIN registry_aliases a ON a.model_id = m.id "
                                "WHERE r.route LIKE '%\"@%' LIMIT $1",
                                {limit}));
    return {};
  };
  MEZZO_TRY_VOID(ports_.store.db().Read(work, deadline));
  std::map<Alias, std::int64_t> before;
  {
    const MutexLock lock(mu_);
    before = aliases_;
  }
  const TimePoint now = ports_.store.clock().Now();
  std::map<Alias, std::int64_t> next;
  std::set<Alias> waiting;
  std::map<Alias, std::int64_t> moved;  // When those were changed that have another version now.
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Alias alias(rows.Text(row, 0), rows.Text(row, 1));
    const std::int64_t version = rows.Int(row, 2);
    const auto old = before.find(alias);
    if (old != before.end() && old->second != version && !HasVersion(alias.first, version)) {
      waiting.insert(alias);
      next.emplace(std::move(alias), old->second);
    } else {
      if (old != before.end() && old->second != version) moved.emplace(alias, rows.Int(row, 3));
      next.emplace(std::move(alias), version);
    }
  }
  const MutexLock lock(mu_);
  if (ports_.delays != nullptr) {
    for (const auto& [alias, at_us] : moved) {
      if (held_.contains(alias)) continue;
      const WallTime changed{std::chrono::microseconds(at_us)};
      ports_.delays->Observe(std::max<Duration>(ports_.store.clock().WallNow() - changed, Duration::zero()));
    }
  }
  std::erase_if(held_, [&](const auto& each) { return !waiting.contains(each.first); });
  for (const Alias& alias : waiting) {
    const auto since = held_.emplace(alias, now);
    if (since.second || now - since.first->second < options_.longest_hold) continue;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.Text(row, 0) == alias.first && rows.Text(row, 1) == alias.second) {
        next[alias] = rows.Int(row, 2);
      }
    }
    held_.erase(since.first);
    ports_.log.Warn("an alias is followed though its version has not come to this host",
                    {{"model", alias.first}, {"alias", alias.second}});
  }
  aliases_ = std::move(next);
  return {};
}

std::optional<std::int64_t> RegisteredVersions::VersionOf(std::string_view model,
                                                          std::string_view alias) const {
  const MutexLock lock(mu_);
  const auto at = aliases_.find(Alias(model, alias));
  if (at == aliases_.end()) return std::nullopt;
  return at->second;
}

bool RegisteredVersions::HasVersion(const std::string& model, std::int64_t version) {
  const std::string text = std::to_string(version);
  const auto found = ports_.catalog.Acquire(model, text);
  if (found.ok()) {
    (void)Want(model, text, kWaiting);  // It stays for as long as somebody asks.
    return true;
  }
  const auto& reason = found.error().reason();
  // One that did not load is as little here as one that has yet to come.
  constexpr std::array<std::string_view, 4> kNotHere = {"model_unknown", "version_unknown", "model_on_disk",
                                                        "model_not_ready"};
  if (std::find(kNotHere.begin(), kNotHere.end(), reason) == kNotHere.end()) return true;
  const auto wanted = Want(model, text, kWaiting);
  if (!wanted) return true;
  // A pipeline is served by its parts, which load when they are called.
  const auto parts = ports_.catalog.VersionsOf(model + "/unet");
  if (parts.ok() && std::find(parts->begin(), parts->end(), version) != parts->end()) return true;
  // A folder's version that is loaded when it is called is as good as here.
  if (reason == "model_on_disk" && !supply_.load()->Hosts(model, version)) return true;
  // What no registry has comes from a folder, as far as it does.
  return wanted->state == State::kHere || wanted->state == State::kAbsent;
}

bool RegisteredVersions::IsReady(const std::string& model, const releases::Route& route) {
  const releases::RouteNames names = releases::NamesOf(route);
  bool ready = true;
  for (const std::int64_t version : names.versions) {
    if (version != 0 && !HasVersion(model, version)) ready = false;
  }
  for (const std::string& alias : names.aliases) {
    const auto version = VersionOf(model, alias);
    if (version && !HasVersion(model, *version)) ready = false;
  }
  return ready;
}

std::optional<lifecycle::VersionSupply::Status> RegisteredVersions::Want(const std::string& model,
                                                                         std::string_view version,
                                                                         std::string_view user) {
  lifecycle::VersionSupply* supply = supply_.load();
  const auto number = NumberOf(version);
  if (supply == nullptr || !number) return std::nullopt;
  return supply->Want(model, *number, user);
}

Result<void> RegisteredVersions::CheckCatalog(const std::string& model, std::int64_t version) {
  auto versions = ports_.catalog.VersionsOf(model);
  if (!versions.ok()) {
    versions = ports_.catalog.VersionsOf(model + "/unet");  // A pipeline's versions are its parts'.
  }
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

Result<void> RegisteredVersions::Check(SqlSession& session, const std::string& model,
                                       const std::set<std::int64_t>& versions,
                                       const std::set<std::string>& aliases) {
  const auto dialect = ports_.store.db().dialect();
  const auto not_ready = [&](const lifecycle::NamedVersion& named) {
    return InvalidArgument("route_version_not_ready", "version " + std::to_string(named.version) +
                                                          " of model '" + Printable(model, 64) + "' is " +
                                                          named.state + ", not ready");
  };
  for (const std::string& alias : aliases) {
    MEZZO_TRY(const auto named, lifecycle::ReadAlias(session, dialect, model, alias));
    if (!named) {
      return InvalidArgument("route_alias_unknown", "model '" + Printable(model, 64) + "' has no alias '" +
                                                        Printable(alias, 64) + "'");
    }
    if (named->state != "ready") return not_ready(*named);
  }
  for (const std::int64_t version : versions) {
    if (CheckCatalog(model, version).ok() && version == 0) continue;
    MEZZO_TRY(const auto named, lifecycle::ReadNamedVersion(session, dialect, model, version));
    if (version == 0) {
      MEZZO_TRY(const SqlRows ready,
                session.Run("SELECT 1 FROM registry_versions v JOIN registry_models m ON m.id = v.model_id "
                            "WHERE m.name = $1 AND v.state = 'ready' LIMIT 1",
                            {model}));
      if (ready.empty()) MEZZO_TRY_VOID(CheckCatalog(model, version));
      continue;
    }
    if (!named || named->state.empty()) {
      MEZZO_TRY_VOID(CheckCatalog(model, version));
    } else if (named->state != "ready") {
      return not_ready(*named);
    }
  }
  return {};
}

Result<std::string> RegisteredVersions::UserOf(SqlSession& session, const std::string& model,
                                               std::optional<std::int64_t> version) {
  const std::string by_route = "the route of model '" + Printable(model, 64) + "'";
  // First, for as long as it has not ended it says what its route names.
  MEZZO_TRY(const auto release, releases::ReadOpenRelease(session, model));
  if (release && (!version || Names(*release, *version))) {
    return "release '" + release->id + "' (" + std::string(releases::StateName(release->state)) + ")";
  }
  MEZZO_TRY(const auto route, releases::ReadRoute(session, model));
  if (route && !version) return by_route;
  if (route) {
    const releases::RouteNames names = releases::NamesOf(*route);
    if (names.versions.contains(*version)) return by_route;
    MEZZO_TRY(
        const SqlRows aliases,
        session.Run("SELECT a.alias FROM registry_aliases a JOIN registry_models m ON m.id = a.model_id "
                    "WHERE m.name = $1 AND a.version = $2",
                    {model, *version}));
    for (std::size_t row = 0; row < aliases.size(); ++row) {
      if (names.aliases.contains(aliases.Text(row, 0))) {
        return by_route + " (by alias '" + Printable(aliases.Text(row, 0), 64) + "')";
      }
    }
    if (names.versions.contains(0)) {
      MEZZO_TRY(
          const SqlRows newest,
          session.Run("SELECT MAX(v.version) FROM registry_versions v "
                      "JOIN registry_models m ON m.id = v.model_id WHERE m.name = $1 AND v.state = 'ready'",
                      {model}));
      if (!newest.empty() && !newest.IsNull(0, 0) && newest.Int(0, 0) == *version) {
        return by_route + " (by latest)";
      }
    }
  }
  return std::string();
}

Result<std::string> RegisteredVersions::AliasUserOf(SqlSession& session, const std::string& model,
                                                    const std::string& alias) {
  MEZZO_TRY(const auto route, releases::ReadRoute(session, model));
  if (!route || !releases::NamesOf(*route).aliases.contains(alias)) return std::string();
  return "the route of model '" + Printable(model, 64) + "'";
}

Result<void> RegisteredVersions::AliasMoved(SqlSession& session, const std::string& model,
                                            const std::string& alias) {
  MEZZO_TRY(const std::string user, AliasUserOf(session, model, alias));
  if (user.empty()) return {};
  MEZZO_TRY_VOID(cache::EpochStore::Raise(session, model));
  return session.Notify({.channel = releases::kRoutesChannel, .payload = ""});
}

Result<void> RegisteredVersions::CheckRelease(const std::string& model, const std::string& version,
                                              TimePoint deadline) {
  const auto number = NumberOf(version);
  if (!number) return {};
  std::optional<lifecycle::NamedVersion> named;
  const auto work = [&](SqlSession& session) -> Result<void> {
    // Nothing is to be held: the release looks again when it writes its route.
    MEZZO_TRY(named, lifecycle::ReadNamedVersion(session, storage::SqlDialect::kSqlite, model, *number));
    return {};
  };
  MEZZO_TRY_VOID(ports_.store.db().Read(work, deadline));
  if (!named || named->state.empty() || named->state == "ready") return {};
  return FailedPrecondition(
      "registry_version_not_ready",
      "version " + version + " of model '" + Printable(model, 64) + "' is " + named->state + ", not ready");
}

}  // namespace mezzo::app
