#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/platform/feedback_handler.h"
#include "mezzo/api/platform/releases_handler.h"
#include "mezzo/app/data_store.h"
#include "mezzo/app/registered_versions.h"
#include "mezzo/app/routing.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/lifecycle/version_supply.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/outcome_sink.h"
#include "mezzo/releases/outcomes.h"
#include "mezzo/releases/release_controller.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"

namespace mezzo::app {

/// What arms' calls come to, kept on a board for the releases whose splits drew them. Thread-safe.
class BoardSink final : public releases::OutcomeSink {
 public:
  /// Both outlive the sink and what it gave out.
  BoardSink(releases::OutcomeBoard& board, const Clock& clock) : board_(board), clock_(clock) {}
  std::shared_ptr<releases::ArmOutcomes> Arm(const std::string& model, const std::string& series,
                                             const std::string& arm) override;

 private:
  releases::OutcomeBoard& board_;
  const Clock& clock_;
};

/// A model's route in the words of a release. Thread-safe; blocks.
class StoredRoutes final : public releases::RouteWriter {
 public:
  explicit StoredRoutes(releases::RouteStore& store) : store_(store) {}
  Result<releases::RouteRow> Read(const std::string& model, TimePoint deadline) override;
  Result<std::int64_t> Write(const std::string& model, const std::string& text, std::int64_t expected,
                             const std::string& who, TimePoint deadline) override;

 private:
  releases::RouteStore& store_;
};

/// What this host's catalog has of versions: loads what a release needs, and holds on to it. Thread-safe.
class CatalogHost final : public releases::HostVersions {
 public:
  /// All outlive this. `loop` runs what waits for loads.
  struct Ports {
    models::Catalog& catalog;
    const releases::Router& router;
    runtime::Scope& scope;
    runtime::Loop& loop;
    const Clock& clock;
    RegisteredVersions* registered = nullptr;  ///< Brings what the catalog does not have; null: nothing does.
  };
  explicit CatalogHost(Ports ports) : ports_(ports) {}

  Readiness Keep(const std::string& model, const std::string& version) override EXCLUDES(mu_);
  void Release(const std::string& model, const std::string& version) override EXCLUDES(mu_);
  void ReleaseAll() EXCLUDES(mu_);

 private:
  /// The models that a name means: itself, or the parts of a pipeline.
  [[nodiscard]] std::vector<std::string> PartsOf(const std::string& model, const std::string& version) const;
  /// As Keep(), of one part.
  Readiness KeepPart(const std::string& part, const std::string& version,
                     const std::optional<lifecycle::VersionSupply::Status>& brought,
                     std::vector<models::VersionRef>& held);
  /// Fills in whether an arm of the version has its breaker open.
  void Judge(const std::string& model, const std::string& version, Readiness& readiness) const;

  const Ports ports_;
  Mutex mu_;
  std::map<std::pair<std::string, std::string>, std::vector<models::VersionRef>> kept_ GUARDED_BY(mu_);
};

/// Releases, wired: made before the routes, connected to them later. Without a database there are none.
class ReleaseControl {
 public:
  /// All outlive this; `store` is null without a database.
  struct Ports {
    DataStore* store = nullptr;
    models::Catalog& catalog;
    const Clock& clock;
    observe::Registry& registry;
    const observe::Health& health;  ///< Watches end when the host drains.
    observe::Logger& log;
    runtime::Scope& scope;
    RegisteredVersions* registered = nullptr;  ///< Null without a database.
  };
  explicit ReleaseControl(Ports ports);

  /// Null without a database.
  [[nodiscard]] releases::OutcomeSink* sink() { return sink_ ? &*sink_ : nullptr; }
  /// Once. What answers `/v1/releases`, or null without a database. `routing` and `loop` outlive this.
  [[nodiscard]] api::Protocol* Connect(Routing& routing, runtime::Loop& loop);
  /// What answers `/v1/feedback`, likewise, once connected.
  [[nodiscard]] api::Protocol* feedback_handler() { return parts_ ? &parts_->feedback : nullptr; }
  void Start();
  /// Before the scope and the database stop.
  void Stop();

 private:
  struct Parts {
    Parts(const Ports& ports, releases::OutcomeBoard& board, Routing& routing, runtime::Loop& loop);
    releases::ReleaseStore store;
    jobs::JobReader jobs;
    StoredRoutes routes;
    CatalogHost host;
    runtime::BlockingPool pool;
    api::platform::ReleasesHandler handler;
    api::platform::FeedbackHandler feedback;
    releases::ReleaseController controller;  // Last: it uses what is above.
  };

  const Ports ports_;
  releases::OutcomeBoard board_;
  std::optional<BoardSink> sink_;
  std::unique_ptr<Parts> parts_;
  observe::Callback watchers_;  // Last: it reads the parts.
};

}  // namespace mezzo::app
