#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/app/data_store.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/lifecycle/version_supply.h"
#include "mezzo/lifecycle/version_uses.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/instruments.h"
#include "mezzo/observe/log.h"
#include "mezzo/releases/route.h"
#include "mezzo/releases/route_ports.h"

namespace mezzo::app {

/// The registry as routes and releases see it, and they as the registry does (ADR 0047): which versions a
/// route may name, what aliases stand for on this host, and what can't be taken away because something needs
/// it.
///
/// An alias that moves to a version which this host has yet to get stands for the former one here until the
/// new one is loaded, for `longest_hold` at most. Thread-safe.
class RegisteredVersions final : public releases::AliasSource,
                                 public releases::NameCheck,
                                 public lifecycle::VersionUses {
 public:
  struct Options {
    Duration longest_hold = std::chrono::minutes(10);
    std::size_t max_aliases = 200'000;  ///< Of routed models that are read.
  };
  /// All outlive this.
  struct Ports {
    DataStore& store;
    models::Catalog& catalog;
    observe::Logger& log;
    observe::Histogram* delays = nullptr;  ///< releases::RouteDelays() of aliases; null: nobody asks.
  };
  RegisteredVersions(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// Once. Until then versions are taken for ready. `supply` outlives whoever calls this.
  void Connect(lifecycle::VersionSupply& supply) { supply_.store(&supply); }

  // releases::AliasSource
  Result<void> Refresh(TimePoint deadline) override EXCLUDES(mu_);
  [[nodiscard]] std::optional<std::int64_t> VersionOf(std::string_view model,
                                                      std::string_view alias) const override EXCLUDES(mu_);
  // releases::NameCheck
  Result<void> Check(storage::SqlSession& session, const std::string& model,
                     const std::set<std::int64_t>& versions, const std::set<std::string>& aliases) override;
  // lifecycle::VersionUses
  Result<std::string> UserOf(storage::SqlSession& session, const std::string& model,
                             std::optional<std::int64_t> version) override;
  Result<std::string> AliasUserOf(storage::SqlSession& session, const std::string& model,
                                  const std::string& alias) override;
  Result<void> AliasMoved(storage::SqlSession& session, const std::string& model,
                          const std::string& alias) override;

  /// Whether this host can answer by the route now; what it lacks is on its way from here on.
  bool IsReady(const std::string& model, const releases::Route& route) EXCLUDES(mu_);
  /// Asks for a version that the catalog does not have; `user`: VersionSupply::Want(). Nothing: there is no
  /// registry yet.
  std::optional<lifecycle::VersionSupply::Status> Want(const std::string& model, std::string_view version,
                                                       std::string_view user);
  /// Of a release: kFailedPrecondition "registry_version_not_ready" when the registry has the version, and
  /// not ready.
  Result<void> CheckRelease(const std::string& model, const std::string& version, TimePoint deadline);

 private:
  using Alias = std::pair<std::string, std::string>;  // Model and alias.
  bool HasVersion(const std::string& model, std::int64_t version);
  Result<void> CheckCatalog(const std::string& model, std::int64_t version);

  const Options options_;
  const Ports ports_;
  std::atomic<lifecycle::VersionSupply*> supply_{nullptr};  // Partner: whoever has made it.
  mutable Mutex mu_;
  std::map<Alias, std::int64_t> aliases_ GUARDED_BY(mu_);
  std::map<Alias, TimePoint> held_ GUARDED_BY(mu_);  // That moved to what is not here yet, since when.
};

}  // namespace mezzo::app
