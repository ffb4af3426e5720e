#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/cached.h"
#include "mezzo/cache/key.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::cache {

namespace internal {
class Entry;
class Flights;
struct CachedModel;
struct Flight;
}  // namespace internal

/// How results of one model are kept.
struct Rules {
  Duration ttl{};  ///< Zero: nothing is kept.
  /// How long after `ttl` a result may still be served while one caller computes it anew.
  Duration stale_for{};
  Duration negative_ttl{};                         ///< Of errors that would come again; zero: not kept.
  ByteCount max_entry_bytes = ByteCount{1} << 20;  ///< Larger results are not kept.
  bool single_flight_only = false;                 ///< Equal calls share one execution; nothing is kept.
  bool shared = false;  ///< For who drives a tier that hosts share; no effect on this host's.
};

/// Whether a model would give this error again to the same question: such errors are kept.
[[nodiscard]] bool WouldComeAgain(Code code);

/// Results of models on this host: hits, one execution per key at a time, and nothing older than its model's
/// epoch.
///
/// A caller asks Begin() and does what the outcome says. The leader of a flight runs the model and gives the
/// result to its ticket; followers wait for it with Follow(), no longer than their own deadline. A leader
/// that goes without a result (its ticket dies) hands the lead to one of its followers.
///
/// Epochs: an entry has the epoch that its model had when its computation began, and is found only while that
/// is the model's epoch; calls that begin after RaiseEpoch() returned share nothing with executions that
/// began before it. A cache that is not trusted (its host can't verify epochs) answers every Begin() with
/// kBypass.
///
/// Against stampedes: lifetimes vary by ±`jitter`; a result may be computed anew before it expires (XFetch:
/// A. Vattani et al., "Optimal probabilistic cache stampede prevention", VLDB 2015); refreshes of what can
/// still be served are paced to 1.15 times the rate at which the model's entries expire on average; flights,
/// their followers and leaders are bounded, and who comes beyond a bound computes for itself (kBypass).
///
/// Thread-safe. All tickets and followers must be gone before the cache.
class ResultCache {
 public:
  struct Options {
    std::size_t max_models = 4096;       ///< Models beyond it are not cached.
    std::size_t max_flights = 65'536;    ///< Executions that others may join, at a time.
    std::size_t max_followers = 65'536;  ///< Of one flight.
    double jitter = 0.1;                 ///< Of lifetimes, as a fraction; below 1.
    double beta = 1.0;                   ///< XFetch's: above 1 refreshes earlier; 0 never.
    std::uint64_t seed = 1;
  };

  enum class Kind : std::uint8_t { kHit, kStale, kJoin, kLead, kBypass };

  /// A model of this cache, found once and used for every call. Null: not cached.
  using ModelRef = std::shared_ptr<internal::CachedModel>;

  /// The duty to give a flight its result. Move-only. Destroyed without one, it passes the lead on.
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

    /// Gives `value` to the followers, and keeps it when rules, size and epoch allow. `cost` is the device
    /// time (or whatever else a hit saves) that it took. `expires`: no later than that, for results that
    /// another host has computed; they count as saved. The ticket is spent.
    void Fill(CachedRef value, Duration cost, TimePoint expires = kNever);
    /// Gives the error to the followers and, when the model would answer the same again (kInvalidArgument,
    /// kOutOfRange, kUnimplemented), keeps it for Rules::negative_ttl. Errors that are the leader's own
    /// matter (kCancelled, kDeadlineExceeded, kAborted, kResourceExhausted, kPermissionDenied,
    /// kUnauthenticated) pass the lead on instead. The ticket is spent.
    void Fail(const Error& error, Duration cost = {}, TimePoint expires = kNever);
    /// Of the model when this lead began: what is stored elsewhere is stamped with it.
    [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
    [[nodiscard]] const CacheKey& key() const { return key_; }

   private:
    friend class ResultCache;
    Ticket(ResultCache& cache, std::shared_ptr<internal::Flight> flight, ModelRef model, CacheKey key,
           const Rules& rules, std::uint64_t epoch);
    ResultCache* cache_;  ///< Null once spent.
    std::shared_ptr<internal::Flight> flight_;
    ModelRef model_;
    CacheKey key_;
    Rules rules_;
    std::uint64_t epoch_;
  };

  /// A place among those who wait for a flight. Move-only; given to Follow().
  class Follower {
   public:
    Follower(Follower&& other) noexcept;
    Follower& operator=(Follower&& other) noexcept;
    ~Follower();

   private:
    friend class ResultCache;
    Follower(ResultCache& cache, std::shared_ptr<internal::Flight> flight, ModelRef model, CacheKey key,
             const Rules& rules);
    ResultCache* cache_;  ///< Null once moved from.
    std::shared_ptr<internal::Flight> flight_;
    ModelRef model_;
    CacheKey key_;
    Rules rules_;
  };

  struct Outcome {
    Kind kind = Kind::kBypass;
    CachedRef value;  ///< With kHit and kStale, and kJoin from Follow(); null when there is an error.
    std::optional<Error> error;  ///< With kHit: the kept error is the answer.
    Duration age{};              ///< Of value or error.
    /// With kLead: run, then fill. With kHit and kStale, when set: serve the value now, and compute it anew
    /// beside that; nobody else does.
    std::optional<Ticket> ticket;
    std::optional<Follower> follower;  ///< With kJoin from Begin().
  };

  struct ModelStatistics {
    std::string model;
    std::uint64_t epoch = 0;
    std::uint64_t hits = 0;  ///< Of any age, stale and negative ones included.
    std::uint64_t stale = 0;
    std::uint64_t negative = 0;
    std::uint64_t misses = 0;  ///< That led.
    std::uint64_t shared = 0;  ///< Of these: answered by what another host had computed.
    std::uint64_t joins = 0;
    std::uint64_t bypasses = 0;
    std::uint64_t refreshes = 0;  ///< Led while the old result was served.
    std::uint64_t fills = 0;      ///< Results kept.
    std::uint64_t outdated = 0;   ///< Results not kept because the epoch had risen.
    std::uint64_t entries = 0;    ///< Of old epochs too, until they are asked for or evicted.
    ByteCount bytes = 0;
    Duration saved{};  ///< Cost of what hits and joins did not compute.
  };

  /// `tier` and `clock` must outlive the cache. Several caches may share a tier if their keys' purposes
  /// differ.
  ResultCache(Options options, MemoryTier& tier, const Clock& clock);
  ~ResultCache();
  ResultCache(const ResultCache&) = delete;
  ResultCache& operator=(const ResultCache&) = delete;

  /// The model of that name, made when it is new; null beyond max_models. Call it for models that exist only.
  [[nodiscard]] ModelRef Model(std::string_view name) EXCLUDES(mu_);
  /// The model of that name; null when it was never asked for by Model().
  [[nodiscard]] ModelRef Find(std::string_view name) const EXCLUDES(mu_);
  /// Never waits. `now` is the clock's.
  [[nodiscard]] Outcome Begin(const ModelRef& model, const CacheKey& key, const Rules& rules, TimePoint now);
  /// Waits for the flight's result: kJoin with its value, or kLead when the caller has to compute it now.
  /// Fails with the leader's error, or with "cancelled" or "deadline" of the caller's own. On a loop's
  /// thread.
  runtime::Task<Result<Outcome>> Follow(runtime::Context ctx, Follower follower);

  /// Puts `value` in place of what is kept for the key, whatever is being computed: a correction of one
  /// answer. False when it is not kept. `cost` as Ticket::Fill()'s; `epoch`: of the model when the value's
  /// computation began, and nothing is kept when that has risen since; 0: the model's now.
  bool Replace(const ModelRef& model, const CacheKey& key, const Rules& rules, CachedRef value,
               Duration cost = {}, std::uint64_t epoch = 0);

  [[nodiscard]] static std::uint64_t EpochOf(const ModelRef& model);
  /// Makes everything older invisible at once. Raises by one, or to `at_least` when that is more; the new
  /// epoch.
  std::uint64_t RaiseEpoch(const ModelRef& model, std::uint64_t at_least = 0);
  /// Follows an epoch that others raised: takes `epoch` if it is above the model's. Whether it was.
  bool LearnEpoch(const ModelRef& model, std::uint64_t epoch);
  /// False: every call bypasses, until it is true again. Learn the epochs first, then trust.
  void SetTrusted(bool trusted) { trusted_.store(trusted, std::memory_order_seq_cst); }
  [[nodiscard]] bool trusted() const { return trusted_.load(std::memory_order_seq_cst); }

  /// RaiseEpoch, and frees the memory; looks at every entry. How many entries went.
  std::size_t Purge(const ModelRef& model);
  /// The same of all models.
  std::size_t PurgeAll() EXCLUDES(mu_);

  [[nodiscard]] ModelStatistics StatisticsOf(const ModelRef& model) const;
  /// Of all models, by name.
  [[nodiscard]] std::vector<ModelStatistics> statistics() const EXCLUDES(mu_);
  [[nodiscard]] std::size_t flights() const;

 private:
  /// What a leader found.
  struct Finding {
    CachedRef value;
    std::optional<Error> error;
    Duration cost{};
    std::uint64_t epoch = 0;
    TimePoint limit = kNever;
  };

  std::optional<Outcome> Look(const internal::CachedModel& model, const CacheKey& key, TimePoint now,
                              bool counts, std::shared_ptr<const internal::Entry>& entry) const;
  static void CountHit(internal::CachedModel& model, const internal::Entry& entry, const Outcome& outcome);
  /// Gives the outcome a ticket when it is time to compute the result anew and nobody does.
  void OfferRefresh(const ModelRef& model, const CacheKey& key, const Rules& rules,
                    const std::shared_ptr<const internal::Entry>& entry, TimePoint now, Outcome& outcome);
  /// What the flight has for the follower: its end, the lead, or nothing yet; then Enlist() makes it wait.
  std::optional<Result<Outcome>> EndOf(Follower& follower, bool may_lead);
  std::optional<Result<Outcome>> EndLocked(Follower& follower, bool may_lead);
  std::optional<Result<Outcome>> Enlist(Follower& follower, const runtime::Context& wake,
                                        std::list<runtime::Context>::iterator& place);
  static void Delist(internal::Flight& flight, std::list<runtime::Context>::iterator place);
  void Complete(internal::Flight& flight, const ModelRef& model, const CacheKey& key, const Rules& rules,
                Finding finding);
  void PassLead(internal::Flight& flight);
  void Leave(internal::Flight& flight);
  bool Keep(const ModelRef& model, const CacheKey& key, const Rules& rules, const Finding& finding);
  [[nodiscard]] double NextUniform();

  const Options options_;
  MemoryTier& tier_;
  const Clock& clock_;
  std::atomic<bool> trusted_{true};      // No partner: each call reads it once.
  std::atomic<std::uint64_t> draws_{0};  // Numbers the random draws; no partner.
  std::unique_ptr<internal::Flights> flights_;
  mutable Mutex mu_;
  struct Models;
  std::unique_ptr<Models> models_ PT_GUARDED_BY(mu_);
};

}  // namespace mezzo::cache
