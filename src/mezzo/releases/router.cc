#include "mezzo/releases/router.h"

#include <algorithm>
#include <random>
#include <utility>

namespace mezzo::releases {
namespace {

constexpr std::size_t kMaxArmSeries = 20'000;
constexpr std::uint32_t kLatenciesForHedge = 8;
constexpr int kHedgeFactor = 3;
constexpr Duration kSoonestHedge = std::chrono::milliseconds(5);

bool SameTarget(const RouteTarget& a, const RouteTarget& b) {
  return a.arm == b.arm && a.named == b.named && a.version == b.version && a.resolved == b.resolved &&
         a.stable == b.stable;
}

bool SameTargets(const RouteTable& a, const RouteTable& b) {
  const auto same = [](const std::vector<RouteTarget>& x, const std::vector<RouteTarget>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), SameTarget);
  };
  return same(a.targets(), b.targets()) && same(a.shadow_targets(), b.shadow_targets());
}

bool NamesAliases(const Route& route) {
  const auto alias = [](const auto& one) { return one.version.kind == VersionName::Kind::kAlias; };
  return route.stable.kind == VersionName::Kind::kAlias ||
         std::any_of(route.arms.begin(), route.arms.end(), alias) ||
         std::any_of(route.rules.begin(), route.rules.end(), alias) ||
         std::any_of(route.shadows.begin(), route.shadows.end(), alias);
}

/// A version as metrics show it.
const std::string& LabelOf(const RouteTarget& target) {
  return target.version.empty() ? target.named : target.version;
}

}  // namespace

RouterMetrics::RouterMetrics(observe::Registry& registry)
    : calls(registry.NewCounterFamily("mezzo_route_calls_total",
                                      "Calls that a route has sent to an arm, by what came of them.",
                                      {"model", "arm", "version", "outcome"}, kMaxArmSeries)),
      retries(registry.NewCounterFamily(
          "mezzo_route_retries_total", "Calls of an arm that the stable version was asked to answer as well.",
          {"model", "arm", "version", "reason"}, kMaxArmSeries)),
      shadows(
          registry.NewCounterFamily("mezzo_route_shadow_calls_total",
                                    "Calls that were to be copied to a shadow version, by what came of them.",
                                    {"model", "version", "outcome"})),
      shadow_distance(registry.NewGaugeFamily(
          "mezzo_route_shadow_max_difference",
          "The largest absolute difference of an output of a shadow version from the answer given.",
          {"model", "version"})),
      shadow_cosine(registry.NewGaugeFamily(
          "mezzo_route_shadow_min_cosine",
          "The least cosine of an output of a shadow version and of the answer given.",
          {"model", "version"})),
      open(registry.NewCallbackFamily(
          "mezzo_route_breaker_open", "1 while an arm gets no calls because it keeps failing.",
          observe::MetricType::kGauge, {"model", "arm", "version"}, kMaxArmSeries)) {}

LiveArm::LiveArm(const std::string& model, const RouteTarget& target, runtime::Breaker::Options breaker,
                 bool guarded, Ports ports)
    : guarded_(guarded),
      outcomes_(std::move(ports.outcomes)),
      counts_(std::make_unique<Counts>(Counts{
          .ok = ports.metrics.calls.Lease({model, target.arm, LabelOf(target), "ok"}),
          .failed = ports.metrics.calls.Lease({model, target.arm, LabelOf(target), "failed"}),
          .late = ports.metrics.calls.Lease({model, target.arm, LabelOf(target), "late"}),
          .unjudged = ports.metrics.calls.Lease({model, target.arm, LabelOf(target), "refused"}),
          .diverted = ports.metrics.calls.Lease({model, target.arm, LabelOf(target), "diverted"}),
          .retried_failed = ports.metrics.retries.Lease({model, target.arm, LabelOf(target), "failed"}),
          .retried_late = ports.metrics.retries.Lease({model, target.arm, LabelOf(target), "late"})})),
      breaker_(breaker) {
  if (!guarded_) return;
  callbacks_.push_back(ports.metrics.open.Add({model, target.arm, LabelOf(target)}, [this] {
    return state() == runtime::Breaker::State::kClosed ? 0.0 : 1.0;
  }));
}

runtime::Breaker::Admission LiveArm::Admit(TimePoint now) {
  const MutexLock lock(mu_);
  return breaker_.Admit(now);
}

void LiveArm::End(ArmEnd end, bool probe, const ArmOutcome& outcome, TimePoint now) {
  switch (end) {
    case ArmEnd::kOk:
      counts_->ok->Add();
      break;
    case ArmEnd::kFailed:
      counts_->failed->Add();
      if (outcome.retried) counts_->retried_failed->Add();
      break;
    case ArmEnd::kLate:
    case ArmEnd::kOutrun:
      counts_->late->Add();
      if (outcome.retried) counts_->retried_late->Add();
      break;
    case ArmEnd::kUnjudged:
      counts_->unjudged->Add();
      break;
  }
  if (guarded_) {
    const MutexLock lock(mu_);
    // Trials that were late at the same time tell of one stall, which a busy host has now and then; what
    // hangs is late time after time.
    bool counts = end == ArmEnd::kOk || end == ArmEnd::kFailed;
    if (end == ArmEnd::kLate) {
      counts = probe || now - outcome.latency >= last_late_;
      if (counts) last_late_ = now;
    }
    if (counts) {
      (void)breaker_.OnRun(end == ArmEnd::kOk, probe, now);
    } else if (probe) {
      breaker_.OnProbeGone();
    }
  }
  if (outcomes_ != nullptr && end != ArmEnd::kUnjudged) outcomes_->Record(outcome);
}

void LiveArm::Detach() {
  callbacks_.clear();
  counts_.reset();
  outcomes_.reset();
}

runtime::Breaker::State LiveArm::state() const {
  const MutexLock lock(mu_);
  return breaker_.state();
}

std::uint64_t LiveArm::times_opened() const {
  const MutexLock lock(mu_);
  return breaker_.times_opened();
}

LiveShadow::LiveShadow(const std::string& model, const std::string& version, RouterMetrics& metrics,
                       std::shared_ptr<ArmOutcomes> outcomes)
    : outcomes_(std::move(outcomes)),
      counts_(
          std::make_unique<Counts>(Counts{.equal = metrics.shadows.Lease({model, version, "equal"}),
                                          .different = metrics.shadows.Lease({model, version, "different"}),
                                          .failed = metrics.shadows.Lease({model, version, "failed"}),
                                          .dropped = metrics.shadows.Lease({model, version, "dropped"}),
                                          .distance = metrics.shadow_distance.Lease({model, version}),
                                          .cosine = metrics.shadow_cosine.Lease({model, version})})) {
  counts_->cosine->Set(1);
}

bool LiveShadow::Enter(std::uint32_t limit) {
  if (in_flight_.fetch_add(1, std::memory_order_relaxed) < limit) return true;
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  counts_->dropped->Add();
  return false;
}

std::vector<std::size_t> LiveRoute::EnterShadows(std::uint64_t random) const {
  std::vector<std::size_t> entered;
  for (std::size_t i = 0; i < shadows_.size(); ++i) {
    if (!table_.shadow_targets()[i].resolved || !table_.Shadowed(i, random)) continue;
    if (shadows_[i]->Enter(table_.shadows()[i].max_in_flight)) entered.push_back(i);
  }
  return entered;
}

void LiveShadow::CountAnswer(const AnswerDifference& difference) {
  (difference.exact ? counts_->equal : counts_->different)->Add();
  if (!difference.comparable) return;
  const MutexLock lock(mu_);
  worst_distance_ = std::max(worst_distance_, difference.max_abs);
  worst_cosine_ = std::min(worst_cosine_, difference.cosine);
  counts_->distance->Set(worst_distance_);
  counts_->cosine->Set(worst_cosine_);
}

LiveRoute::Pick LiveRoute::Choose(const RouteFacts& facts, TimePoint now) const {
  Pick pick{.target = table_.Choose(facts)};
  const RouteTarget& target = table_.targets()[pick.target];
  if (target.stable) return pick;
  LiveArm& arm = *arms_[pick.target];
  if (target.resolved) {
    const auto admitted = arm.Admit(now);
    if (admitted != runtime::Breaker::Admission::kNo) {
      pick.trial = true;
      pick.probe = admitted == runtime::Breaker::Admission::kProbe;
      return pick;
    }
  }
  arm.CountDiverted();
  pick.target = table_.stable();
  return pick;
}

void LiveRoute::End(const Pick& pick, ArmEnd end, const ArmOutcome& outcome, TimePoint now) const {
  arms_[pick.target]->End(end, pick.probe, outcome, now);
  if (!pick.trial && end == ArmEnd::kOk && !outcome.kept) stable_latency_->Add(outcome.latency);
}

TimePoint LiveRoute::HedgeAt(TimePoint started, TimePoint deadline) const {
  const Duration p99 = stable_latency_->Quantile(0.99, kLatenciesForHedge);
  TimePoint at = kNever;
  if (p99 > Duration::zero()) at = AddSaturating(started, std::max(kSoonestHedge, kHedgeFactor * p99));
  if (deadline < kNever && deadline > started) {
    const Duration whole = deadline - started;
    at = std::min(at, started + (whole - std::min(std::max(2 * p99, whole / 4), whole / 2)));
  }
  return at;
}

Router::Router(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      metrics_(ports.registry),
      current_(std::make_shared<const Routes>()),
      routes_(current_) {}

Router::~Router() {
  const MutexLock lock(mu_);
  for (const auto& weak : arms_) {
    if (const auto arm = weak.lock()) arm->Detach();
  }
  for (const auto& weak : shadows_) {
    if (const auto shadow = weak.lock()) shadow->Detach();
  }
}

std::size_t Router::size() const {
  const MutexLock lock(mu_);
  return current_->size();
}

std::set<std::pair<std::string, std::string>> Router::Versions() const {
  const Published<Routes>::Ref routes = routes_.Get();
  std::set<std::pair<std::string, std::string>> named;
  for (const auto& [model, route] : *routes) {
    for (const auto* targets : {&route->table().targets(), &route->table().shadow_targets()}) {
      for (const RouteTarget& target : *targets) {
        if (target.resolved) named.emplace(model, target.version);
      }
    }
  }
  return named;
}

LiveRouteRef Router::Find(std::string_view model) const {
  const Published<Routes>::Ref routes = routes_.Get();
  const auto found = routes->find(model);
  if (found == routes->end()) return nullptr;
  return {routes, found->second.get()};  // Counts where only this thread does.
}

std::shared_ptr<const LiveRoute> Router::Make(const RouteRecord& record, const LiveRoute* before) {
  const RouteTable::Resolve resolve = [&](std::string_view alias) -> std::optional<std::int64_t> {
    if (ports_.aliases == nullptr) return std::nullopt;
    return ports_.aliases->VersionOf(record.model, alias);
  };
  RouteTable table(record.route, resolve);
  if (before != nullptr && before->revision() == record.revision && SameTargets(before->table(), table)) {
    return nullptr;
  }
  std::shared_ptr<LiveRoute> made(new LiveRoute(record.model, record.revision, std::move(table)));
  const auto& targets = made->table().targets();
  // An arm lives on when it is sent the same calls' kind: same name, version and series.
  const bool same_series = before != nullptr && before->table().series() == made->table().series();
  for (const RouteTarget& target : targets) {
    made->stamps_.push_back(target.arm + ";" + std::to_string(record.revision));
    std::shared_ptr<LiveArm> arm;
    if (same_series) {
      const auto& old = before->table().targets();
      const auto at = std::find_if(old.begin(), old.end(),
                                   [&](const RouteTarget& one) { return SameTarget(one, target); });
      if (at != old.end()) arm = before->arms_[static_cast<std::size_t>(at - old.begin())];
    }
    if (arm == nullptr) {
      LiveArm::Ports ports{.metrics = metrics_, .clock = ports_.clock, .outcomes = nullptr};
      if (ports_.outcomes != nullptr) {
        ports.outcomes = ports_.outcomes->Arm(record.model, made->table().series(), target.arm);
      }
      arm =
          std::make_shared<LiveArm>(record.model, target, options_.breaker, !target.stable, std::move(ports));
      arms_.push_back(arm);
    }
    made->arms_.push_back(std::move(arm));
  }
  for (const RouteTarget& target : made->table().shadow_targets()) {
    std::shared_ptr<LiveShadow> shadow;
    if (same_series) {
      const auto& old = before->table().shadow_targets();
      const auto at = std::find_if(old.begin(), old.end(),
                                   [&](const RouteTarget& one) { return SameTarget(one, target); });
      if (at != old.end()) shadow = before->shadows_[static_cast<std::size_t>(at - old.begin())];
    }
    if (shadow == nullptr) {
      std::shared_ptr<ArmOutcomes> outcomes;
      if (ports_.outcomes != nullptr) {
        outcomes = ports_.outcomes->Arm(record.model, made->table().series(), kShadowArm);
      }
      shadow = std::make_shared<LiveShadow>(record.model, LabelOf(target), metrics_, std::move(outcomes));
      shadows_.push_back(shadow);
    }
    made->shadows_.push_back(std::move(shadow));
  }
  const bool same_stable = before != nullptr && before->stable().version == made->stable().version;
  made->stable_latency_ = same_stable ? before->stable_latency_ : std::make_shared<internal::LatencySketch>();
  return made;
}

void Router::Update(std::vector<RouteRecord> changed) { Take(std::move(changed), /*all=*/false); }
void Router::Replace(std::vector<RouteRecord> all) { Take(std::move(all), /*all=*/true); }

void Router::Take(std::vector<RouteRecord> changed, bool all) {
  std::shared_ptr<const Routes> old;  // Dies after the lock.
  std::shared_ptr<const Routes> published;
  const MutexLock lock(mu_);
  if (all) {
    records_.clear();
    aliased_.clear();
  }
  std::set<std::string> affected = aliased_;
  for (RouteRecord& record : changed) {
    std::string model = record.model;
    affected.insert(model);
    if (NamesAliases(record.route)) {
      aliased_.insert(model);
    } else {
      aliased_.erase(model);
    }
    records_.insert_or_assign(std::move(model), std::move(record));
  }
  if (affected.empty() && !all) return;
  Routes next = *current_;
  bool news = false;
  if (all) {
    for (auto at = next.begin(); at != next.end();) {
      if (records_.contains(at->first)) {
        ++at;
      } else {
        at = next.erase(at);
        news = true;
      }
    }
  }
  for (const std::string& model : affected) {
    const auto known = next.find(model);
    auto made = Make(records_.at(model), known == next.end() ? nullptr : known->second.get());
    if (made == nullptr) continue;
    next.insert_or_assign(model, std::move(made));
    news = true;
  }
  if (!news) return;
  old = std::exchange(current_, std::make_shared<const Routes>(std::move(next)));
  published = routes_.Replace(current_);
  std::erase_if(arms_, [](const auto& arm) { return arm.expired(); });
  std::erase_if(shadows_, [](const auto& shadow) { return shadow.expired(); });
}

std::uint64_t Router::Random() {
  thread_local std::uint64_t state = [] {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) ^ device();
  }();
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace mezzo::releases
