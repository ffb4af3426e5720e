#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/published.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/compare.h"
#include "mezzo/releases/internal/latency_sketch.h"
#include "mezzo/releases/outcome_sink.h"
#include "mezzo/releases/route.h"
#include "mezzo/releases/route_ports.h"
#include "mezzo/releases/route_table.h"
#include "mezzo/runtime/breaker.h"

namespace mezzo::releases {

/// A model's route as of one revision.
struct RouteRecord {
  std::string model;
  std::int64_t revision = 0;
  Route route;
};

/// What a call on an arm came to, as far as the arm is to blame.
enum class ArmEnd : std::uint8_t {
  kOk,
  kFailed,    ///< By the version, or by what runs it.
  kLate,      ///< The stable version was asked as well, and answered first, and quickly.
  kOutrun,    ///< As kLate, but the stable version was slower than usual, too: no word against the arm's
              ///< health.
  kUnjudged,  ///< The caller's fault or limit, or the caller has gone: says nothing about the version.
};

struct RouterMetrics {
  explicit RouterMetrics(observe::Registry& registry);
  observe::Family<observe::Counter>& calls;          ///< model, arm, version, outcome
  observe::Family<observe::Counter>& retries;        ///< model, arm, version, reason
  observe::Family<observe::Counter>& shadows;        ///< model, version, outcome
  observe::Family<observe::Gauge>& shadow_distance;  ///< model, version: the largest absolute difference
  observe::Family<observe::Gauge>& shadow_cosine;    ///< model, version: the least
  observe::CallbackFamily& open;                     ///< model, arm, version: 1 while its breaker is open
};

/// An arm's fate on this host: its breaker, its counts and where its outcomes go. Outlives the revisions that
/// leave the arm as it is. Thread-safe.
class LiveArm {
 public:
  struct Ports {
    RouterMetrics& metrics;
    const Clock& clock;
    std::shared_ptr<ArmOutcomes> outcomes;  ///< Null: nobody keeps them.
  };
  /// `guarded`: has a breaker; the stable version's arms have none.
  LiveArm(const std::string& model, const RouteTarget& target, runtime::Breaker::Options breaker,
          bool guarded, Ports ports);

  /// Whether a call may go there. After kProbe exactly one End() or ProbeGone() must follow.
  runtime::Breaker::Admission Admit(TimePoint now) EXCLUDES(mu_);
  void End(ArmEnd end, bool probe, const ArmOutcome& outcome, TimePoint now) EXCLUDES(mu_);
  /// Calls that were sent to the stable version because the breaker is open.
  void CountDiverted() { counts_->diverted->Add(); }
  [[nodiscard]] runtime::Breaker::State state() const EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t times_opened() const EXCLUDES(mu_);
  [[nodiscard]] bool guarded() const { return guarded_; }
  /// Lets go of its metrics and outcomes: threads may keep an arm for longer than the router lives. No call
  /// runs.
  void Detach();

 private:
  using CounterSeries = observe::Series<observe::Counter>;
  struct Counts {
    CounterSeries ok, failed, late, unjudged, diverted, retried_failed, retried_late;
  };
  const bool guarded_;
  std::shared_ptr<ArmOutcomes> outcomes_;
  std::unique_ptr<Counts> counts_;
  mutable Mutex mu_;
  runtime::Breaker breaker_ GUARDED_BY(mu_);
  TimePoint last_late_ GUARDED_BY(mu_){};     // The end of the late trial that was counted last.
  std::vector<observe::Callback> callbacks_;  // Last: reads the breaker.
};

/// What shadow calls to one version are allowed on this host, and how their answers differ. Thread-safe.
class LiveShadow {
 public:
  /// `outcomes`: null when nobody keeps them.
  LiveShadow(const std::string& model, const std::string& version, RouterMetrics& metrics,
             std::shared_ptr<ArmOutcomes> outcomes);

  /// A place among the `limit` in flight; counts the call as dropped when there is none.
  bool Enter(std::uint32_t limit);
  void Leave() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  void CountDropped() { counts_->dropped->Add(); }
  void CountFailed() { counts_->failed->Add(); }
  void CountAnswer(const AnswerDifference& difference) EXCLUDES(mu_);
  /// What a copy came to, for whoever keeps it.
  void Record(const ArmOutcome& outcome) {
    if (outcomes_ != nullptr) outcomes_->Record(outcome);
  }
  /// As LiveArm::Detach().
  void Detach() {
    counts_.reset();
    outcomes_.reset();
  }

 private:
  using CounterSeries = observe::Series<observe::Counter>;
  struct Counts {
    CounterSeries equal, different, failed, dropped;
    observe::Series<observe::Gauge> distance, cosine;
  };
  std::shared_ptr<ArmOutcomes> outcomes_;
  std::unique_ptr<Counts> counts_;
  std::atomic<std::uint32_t> in_flight_{0};  // A count; no partner.
  Mutex mu_;
  double worst_distance_ GUARDED_BY(mu_) = 0;
  double worst_cosine_ GUARDED_BY(mu_) = 1;
};

/// The route of a model on this host, as of one revision. Thread-safe.
class LiveRoute {
 public:
  /// Where a call goes.
  struct Pick {
    std::size_t target = 0;  ///< Of table().
    bool probe = false;      ///< The call that finds out whether the arm's breaker may close.
    bool trial = false;      ///< Goes to another version than the stable one, which stands by.
  };

  /// By the rules and the split; an arm whose breaker is open, or whose alias nothing stands under, is passed
  /// over for the stable version.
  [[nodiscard]] Pick Choose(const RouteFacts& facts, TimePoint now) const;
  /// What came of a pick; exactly once for each.
  void End(const Pick& pick, ArmEnd end, const ArmOutcome& outcome, TimePoint now) const;

  /// When a trial that began at `started` has become so late that the stable version is asked as well: three
  /// times its own p99 (none before 8 calls), or when no more of the time is left than it needs, whichever
  /// is first. kNever when neither is known.
  [[nodiscard]] TimePoint HedgeAt(TimePoint started, TimePoint deadline) const;

  [[nodiscard]] const std::string& model() const { return model_; }
  [[nodiscard]] std::int64_t revision() const { return revision_; }
  [[nodiscard]] const RouteTable& table() const { return table_; }
  [[nodiscard]] const RouteTarget& target(const Pick& pick) const { return table_.targets()[pick.target]; }
  [[nodiscard]] const RouteTarget& stable() const { return table_.targets()[table_.stable()]; }
  /// "canary;17": X-Mezzo-Route of answers from the target.
  [[nodiscard]] const std::string& stamp(std::size_t target) const { return stamps_[target]; }
  [[nodiscard]] const LiveArm& arm(std::size_t target) const { return *arms_[target]; }
  [[nodiscard]] LiveShadow& shadow(std::size_t index) const { return *shadows_[index]; }
  /// The shadows that a call with this number is copied to, each with a place among its own in flight, which
  /// the caller gives back. Those without a version, or without a place, are left out.
  [[nodiscard]] std::vector<std::size_t> EnterShadows(std::uint64_t random) const;

 private:
  friend class Router;
  LiveRoute(std::string model, std::int64_t revision, RouteTable table)
      : model_(std::move(model)), revision_(revision), table_(std::move(table)) {}

  const std::string model_;
  const std::int64_t revision_;
  const RouteTable table_;
  std::vector<std::string> stamps_;  // By target, as the next.
  std::vector<std::shared_ptr<LiveArm>> arms_;
  std::vector<std::shared_ptr<LiveShadow>> shadows_;
  std::shared_ptr<internal::LatencySketch> stable_latency_;
};
using LiveRouteRef = std::shared_ptr<const LiveRoute>;

/// The routes of all models, as this host knows them. Find() takes no lock. Thread-safe.
class Router {
 public:
  struct Options {
    /// Of arms that go to another version than the stable one. What fails there is answered by the stable
    /// version, so that opening late costs time, not answers.
    runtime::Breaker::Options breaker;
  };
  /// All outlive the router and what it gave out.
  struct Ports {
    const Clock& clock;
    observe::Registry& registry;
    const AliasSource* aliases = nullptr;  ///< Null: there are none.
    OutcomeSink* outcomes = nullptr;       ///< Null: nobody keeps them.
  };
  Router(Options options, Ports ports);
  /// No call runs.
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  /// Null: the model has no route.
  [[nodiscard]] LiveRouteRef Find(std::string_view model) const;

  /// The routes that have changed; others stay. Aliases of all routes are looked up anew.
  void Update(std::vector<RouteRecord> changed) EXCLUDES(mu_);
  /// These and no others.
  void Replace(std::vector<RouteRecord> all) EXCLUDES(mu_);

  [[nodiscard]] std::size_t size() const EXCLUDES(mu_);
  /// Models and the versions that their routes may send calls to, each once; an empty version is the newest.
  [[nodiscard]] std::set<std::pair<std::string, std::string>> Versions() const;

  /// An even number for RouteFacts::random. A few nanoseconds.
  [[nodiscard]] static std::uint64_t Random();

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };
  using Routes = std::unordered_map<std::string, std::shared_ptr<const LiveRoute>, Hash, std::equal_to<>>;

  /// Null when `before` already is what comes of the record.
  std::shared_ptr<const LiveRoute> Make(const RouteRecord& record, const LiveRoute* before) REQUIRES(mu_);
  void Take(std::vector<RouteRecord> changed, bool all) EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  RouterMetrics metrics_;
  mutable Mutex mu_;  // Of who changes.
  std::map<std::string, RouteRecord> records_ GUARDED_BY(mu_);
  std::set<std::string> aliased_ GUARDED_BY(mu_);             // Of them, those that name aliases.
  std::shared_ptr<const Routes> current_ GUARDED_BY(mu_);     // What routes_ has.
  std::vector<std::weak_ptr<LiveArm>> arms_ GUARDED_BY(mu_);  // All that may still live, as the next.
  std::vector<std::weak_ptr<LiveShadow>> shadows_ GUARDED_BY(mu_);
  Published<Routes> routes_;
};

}  // namespace mezzo::releases
