#include "mezzo/app/release_control.h"

#include <utility>

#include "mezzo/base/uuid.h"

namespace mezzo::app {
namespace {

/// A load that takes longer is the catalog's to end; this only stops waiting for it.
constexpr Duration kLongestLoad = std::chrono::minutes(30);

}  // namespace

std::shared_ptr<releases::ArmOutcomes> BoardSink::Arm(const std::string& model, const std::string& series,
                                                      const std::string& arm) {
  return board_.Arm({.model = model, .series = series, .arm = arm}, clock_.WallNow());
}

Result<releases::RouteRow> StoredRoutes::Read(const std::string& model, TimePoint deadline) {
  const auto stored = store_.Get(model, deadline);
  if (!stored.ok() && stored.error().reason() == "route_unknown") return releases::RouteRow();
  if (!stored.ok()) return stored.error();
  return releases::RouteRow{.revision = stored->revision, .text = releases::RouteText(stored->route)};
}

Result<std::int64_t> StoredRoutes::Write(const std::string& model, const std::string& text,
                                         std::int64_t expected, const std::string& who, TimePoint deadline) {
  MEZZO_TRY(const releases::Route route, releases::ParseRoute(text));
  const auto written =
      store_.Put(model, route, {.who = who, .why = "a release goes on", .expected = expected}, deadline);
  if (written.ok()) return written->revision;
  if (written.error().reason() == "route_revision") {
    return Error(Code::kAborted, "release_conflict", written.error().message());
  }
  return written.error();
}

std::vector<std::string> CatalogHost::PartsOf(const std::string& model, const std::string& version) const {
  const auto itself = ports_.catalog.ConfigOf(model, version);
  if (itself.ok() || itself.error().reason() != "model_unknown") return {model};
  std::vector<std::string> parts;
  for (const models::IndexEntry& entry : ports_.catalog.Index(/*ready_only=*/false)) {
    const bool part =
        entry.name.starts_with(model + "/") && (entry.version.empty() || entry.version == version);
    if (part && (parts.empty() || parts.back() != entry.name)) parts.push_back(entry.name);
  }
  if (parts.empty()) parts.push_back(model);
  return parts;
}

CatalogHost::Readiness CatalogHost::KeepPart(const std::string& part, const std::string& version,
                                             const std::optional<lifecycle::VersionSupply::Status>& brought,
                                             std::vector<models::VersionRef>& held) {
  Readiness readiness;
  auto found = ports_.catalog.Acquire(part, version);
  if (found.ok()) {
    readiness.state = State::kReady;
    held.push_back(*std::move(found));
    return readiness;
  }
  if (found.error().reason() != "model_on_disk") {
    using Supplied = lifecycle::VersionSupply::State;
    const bool comes = brought && (brought->state == Supplied::kComing || brought->state == Supplied::kHere);
    if (comes && found.error().reason() != "model_not_ready") return readiness;
    readiness.state = State::kFailed;
    readiness.reason =
        brought && brought->state == Supplied::kFailed ? brought->reason : found.error().message();
    return readiness;
  }
  // The catalog loads a version once, however often it is asked for.
  const auto ctx = runtime::Context().WithDeadline(AddSaturating(ports_.clock.Now(), kLongestLoad));
  (void)ports_.scope.Spawn(ports_.loop, ctx, [this, part, version](runtime::Context own) {
    return ports_.catalog.AcquireLoaded(std::move(own), ModelName(part), version);
  });
  return readiness;
}

CatalogHost::Readiness CatalogHost::Keep(const std::string& model, const std::string& version) {
  Readiness all{.state = State::kReady};
  std::vector<models::VersionRef> held;
  const auto brought =
      ports_.registered == nullptr ? std::nullopt : ports_.registered->Want(model, version, "a release");
  for (const std::string& part : PartsOf(model, version)) {
    Readiness one = KeepPart(part, version, brought, held);
    if (one.state == State::kFailed) return one;
    if (one.state == State::kLoading) all.state = State::kLoading;
  }
  if (all.state != State::kReady) return all;
  Judge(model, version, all);
  {
    const MutexLock lock(mu_);
    kept_[{model, version}].swap(held);
  }
  return all;  // What was held before is freed without the lock.
}

void CatalogHost::Judge(const std::string& model, const std::string& version, Readiness& readiness) const {
  const releases::LiveRouteRef route = ports_.router.Find(model);
  if (route == nullptr) return;
  const auto& targets = route->table().targets();
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].version != version || !route->arm(i).guarded()) continue;
    if (route->arm(i).state() == runtime::Breaker::State::kClosed) continue;
    readiness.broken = true;
    readiness.broken_reason = "calls of arm '" + targets[i].arm + "' fail one after the other on a host";
    return;
  }
}

void CatalogHost::Release(const std::string& model, const std::string& version) {
  std::vector<models::VersionRef> last;  // Freed without the lock.
  const MutexLock lock(mu_);
  const auto found = kept_.find({model, version});
  if (found == kept_.end()) return;
  last = std::move(found->second);
  kept_.erase(found);
}

void CatalogHost::ReleaseAll() {
  std::map<std::pair<std::string, std::string>, std::vector<models::VersionRef>>
      last;  // Freed without the lock.
  const MutexLock lock(mu_);
  last.swap(kept_);
}

ReleaseControl::ReleaseControl(Ports ports) : ports_(ports), board_(releases::OutcomeBoard::Options()) {
  if (ports_.store != nullptr) sink_.emplace(board_, ports_.store->clock());
}

api::Protocol* ReleaseControl::Connect(Routing& routing, runtime::Loop& loop) {
  if (ports_.store == nullptr) return nullptr;
  parts_ = std::make_unique<Parts>(ports_, board_, routing, loop);
  parts_->handler.EndWhen([&health = ports_.health] { return health.draining(); });
  const auto watchers = [this] { return static_cast<double>(parts_->handler.watchers()); };
  watchers_ =
      ports_.registry.NewCallbackGauge("mezzo_api_release_watchers", "Streams of releases.", watchers);
  return &parts_->handler;
}

ReleaseControl::Parts::Parts(const Ports& ports, releases::OutcomeBoard& board, Routing& routing,
                             runtime::Loop& loop)
    : store(ports.store->db(), ports.store->clock()),
      jobs(ports.store->db()),
      routes(*routing.store()),
      host({.catalog = ports.catalog,
            .router = routing.router(),
            .scope = ports.scope,
            .loop = loop,
            .clock = ports.clock,
            .registered = ports.registered}),
      pool(runtime::BlockingPool::Options{.name = "releases", .threads = 2, .max_queued = 256}),
      handler({}, {.store = store,
                   .routes = routes,
                   .pool = pool,
                   .clock = ports.store->clock(),
                   .check_version =
                       [registered = ports.registered](const std::string& model, const std::string& version,
                                                       TimePoint deadline) {
                         return registered->CheckRelease(model, version, deadline);
                       },
                   .alias = [registered = ports.registered](
                                std::string_view model,
                                std::string_view alias) { return registered->VersionOf(model, alias); }}),
      feedback({},
               {.store = store, .board = board, .pool = pool, .clock = ports.store->clock(), .jobs = &jobs}),
      controller({},
                 {.driver = {.rows = store,
                             .routes = routes,
                             .versions = host,
                             .board = board,
                             .clock = ports.store->clock()},
                  .db = &ports.store->db(),
                  .registry = ports.registry,
                  .log = ports.log},
                 NewUuidV7(ports.clock.WallNow())) {}

void ReleaseControl::Start() {
  if (parts_) parts_->controller.Start();
}

void ReleaseControl::Stop() {
  if (!parts_) return;
  parts_->controller.Stop();
  parts_->host.ReleaseAll();
}

}  // namespace mezzo::app
