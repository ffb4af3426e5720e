#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/published.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/token_store.h"
#include "mezzo/tenancy/limit.h"
#include "mezzo/tenancy/shared_rate.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::tenancy {

class Limiter;

/// Limits that most calls match at most; more cost an allocation.
inline constexpr std::size_t kUsualMatches = 4;

namespace internal {

/// What one bucket counts for.
struct BucketKey {
  std::uint32_t rule = 0;
  std::uint32_t tenant = 0;  // Indices, plus one; 0: not told apart.
  std::uint32_t key = 0;
  // Names by a 64-bit hash: two names of one hash would share a bucket, which harms nobody but themselves.
  std::size_t project = 0;
  std::size_t model = 0;

  friend bool operator==(const BucketKey&, const BucketKey&) = default;
};

}  // namespace internal

/// What is asked of the limits. Everything it refers to outlives the question.
struct CallFacts {
  const Caller& caller;
  std::string_view model;          ///< Empty: none.
  double cost_ms = 0;              ///< Predicted device time; 0: not known yet.
  bool counts_request = true;      ///< Of requests.
  bool counts_concurrency = true;  ///< Of calls that run now.
  bool refusable = true;           ///< Otherwise it is only counted, over the limit if need be.
  /// About a place in the model's queue, of so many; the ticket holds it until it dies. Only limits on queues
  /// are asked then, and otherwise none of them. Zero: not about that.
  std::size_t queue_places = 0;
  TimePoint now = kNever;  ///< Of the limiter's clock, if it has just been read.
};

/// What an admitted call has taken from its limits. Gives its place among the running calls back when it
/// dies; the rest is spent, unless Refund() is called. Not thread-safe; the limiter outlives it.
class [[nodiscard]] LimitTicket {
 public:
  LimitTicket() = default;
  LimitTicket(LimitTicket&& other) noexcept { Swap(other); }
  LimitTicket& operator=(LimitTicket&& other) noexcept {
    LimitTicket old(std::move(*this));
    Swap(other);
    return *this;
  }
  LimitTicket(const LimitTicket&) = delete;
  LimitTicket& operator=(const LimitTicket&) = delete;
  ~LimitTicket() { Release(); }

  /// Replaces the cost counted so far by the measured one. May leave a debt, which later calls wait for.
  void Settle(double measured_ms);
  /// Nothing was done: gives everything back.
  void Refund();
  [[nodiscard]] bool empty() const { return held_.empty(); }

 private:
  friend class Limiter;
  struct Held {
    const Limit* limit = nullptr;  // Of rules_.
    internal::BucketKey key;
    // A Limiter::Bucket that counts this ticket's place, and stays for that; null of other kinds, whose
    // buckets may go meanwhile and are found by `key`.
    void* bucket = nullptr;
    std::uint32_t shard = 0;
    std::int64_t period = 0;  // Of quotas: when it was taken.
  };

  void Swap(LimitTicket& other) noexcept;
  void Release();

  Limiter* limiter_ = nullptr;
  std::shared_ptr<const void> rules_;
  boost::container::small_vector<Held, kUsualMatches> held_;
  double requests_ = 0;
  double cost_ms_ = 0;
  double running_ = 0;
};

/// Admits calls by limits on rates (GCRA), concurrency and quotas. A call takes from all limits that match
/// it, or from none.
///
/// GCRA (ITU-T I.371) keeps one number for a bucket, the theoretical arrival time: of a limit with rate r and
/// burst b, n units at the time t are let through when max(t, tat) + n/r <= t + b/r, and that sum is the new
/// tat. In any window of w seconds at most r·w + b units pass. A call that costs more than b passes a full
/// bucket and leaves a debt.
///
/// With Share(), rates and concurrency hold over several hosts (SharedRate, SharedPermits): calls still only
/// touch this process's memory, and SharedLimits exchanges tokens with a TokenStore in rounds.
///
/// Thread-safe. Buckets lie in shards by hash, each with a mutex that is held for well under a microsecond; a
/// call locks the shards of its buckets in their order. Quotas are this process's count since its start
/// unless RaiseUsed() says more.
class Limiter {
 public:
  struct Options {
    std::size_t max_buckets = 1'000'000;  ///< A call that would need more is refused with "limits_full".
    Duration concurrency_retry = std::chrono::seconds(1);  ///< Told to who meets a limit on concurrency.
  };
  /// `clock` outlives the limiter.
  Limiter(Options options, const Clock& clock);
  ~Limiter();
  Limiter(const Limiter&) = delete;
  Limiter& operator=(const Limiter&) = delete;

  /// From the next call on. All have passed CheckLimit(); of one name the last holds. What has been counted
  /// stays with a limit whose name, kind and `per` stay.
  void Replace(const std::vector<Limit>& limits) EXCLUDES(mu_);
  [[nodiscard]] std::vector<Limit> limits() const;

  /// Takes from every limit that matches. kResourceExhausted "rate_limited", "concurrency_limited",
  /// "queue_limited" or "quota_exceeded", naming the limit that makes the caller wait longest, with when to
  /// come back; then nothing has been taken. "limits_full" when there is no room to count. Leaves in `state`,
  /// if not null, what was met.
  Result<LimitTicket> Admit(const CallFacts& facts, LimitState* state = nullptr);

  /// Puts right what work is counted for that was admitted without keeping its ticket (a job): `ms` of device
  /// time more, or less, than its prediction. Of a caller without a key, limits by key stay as they are:
  /// whose key the work had is not known any more.
  void AddCost(const Caller& caller, std::string_view model, double ms);

  /// What has been used of a quota in the current day or month, by whoever keeps the books: the bucket of
  /// this caller and model counts no less from now on. kNotFound "limit_unknown"; kInvalidArgument
  /// "limit_invalid" of a limit that is no quota.
  Result<void> RaiseUsed(std::string_view name, const Caller& caller, std::string_view model, double used);

  /// From now on limits on rates and concurrency are shared with other hosts by a TokenStore, in which this
  /// host has the name `host`, unique among them. Before the first call.
  void Share(std::string host);
  /// What one exchange with the store asks for. The requests are in the order of the buckets they are for.
  class Round {
   public:
    std::vector<storage::TokenStore::TokenRequest> tokens;
    std::vector<storage::TokenStore::PermitRequest> permits;

   private:
    friend class Limiter;
    struct Asker {
      void* bucket = nullptr;  // A Limiter::Bucket, which stays while it is listed.
      std::uint32_t shard = 0;
    };
    std::vector<Asker> token_askers_;
    std::vector<Asker> permit_askers_;
  };
  /// What the buckets in use want now, at most `most` of each kind; with `announce` also what this host uses
  /// of each rate. One round at a time: the next after EndRound().
  Round BeginRound(bool announce, std::size_t most);
  /// What the store answered; null: it did not.
  void EndRound(const Round& round, const std::vector<storage::TokenStore::TokenGrant>* tokens,
                const std::vector<storage::TokenStore::PermitGrant>* permits);
  /// Tells all buckets how this host stands.
  void SetView(const SharingView& view);
  /// Whether a round before its time would serve somebody. Cheap.
  [[nodiscard]] bool hungry() const { return hungry_.load(std::memory_order_relaxed); }

  /// Whether a prediction of the cost would be used. Cheap.
  [[nodiscard]] bool counts_cost() const { return counts_cost_.load(std::memory_order_relaxed); }
  /// Whether some limit is about queues. Cheap.
  [[nodiscard]] bool counts_queues() const { return counts_queues_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t buckets() const;
  /// Refusals so far by slug: rate_limited, concurrency_limited, quota_exceeded, queue_limited.
  [[nodiscard]] std::array<std::uint64_t, 4> refusals() const;

 private:
  friend class LimitTicket;
  struct Rule;
  struct Rules;
  struct Bucket;
  using BucketKey = internal::BucketKey;
  struct BucketKeyHash;
  struct Shard;
  struct Match;
  class ShardLocks;
  using RulesRef = std::shared_ptr<const Rules>;
  static constexpr std::size_t kShards = 64;

  [[nodiscard]] static BucketKey KeyFor(const Rule& rule, const Caller& caller, std::string_view model);
  /// With the shard locked; null when it is full. `swept`, if not null, becomes true when buckets that were
  /// found before may have gone.
  Bucket* FindBucket(Shard& shard, const BucketKey& key, TimePoint now,
                     bool* swept = nullptr) NO_THREAD_SAFETY_ANALYSIS;
  /// With their shards locked: the buckets of the matches. Those for which there is no room go from the end;
  /// whether all are there.
  bool FindBuckets(std::span<Match> matches, TimePoint now, std::size_t* found) NO_THREAD_SAFETY_ANALYSIS;
  void Sweep(Shard& shard, TimePoint now) NO_THREAD_SAFETY_ANALYSIS;
  /// With the shard locked: has the bucket share its limit, unless that is a quota.
  void ShareBucket(Shard& shard, Bucket& bucket, const Rule& rule,
                   const CallFacts& facts) NO_THREAD_SAFETY_ANALYSIS;
  /// With the bucket's shard locked.
  void AskFor(Bucket& bucket, std::uint32_t shard, bool announce, TimePoint now, const SharingView& view,
              Round& round) const;
  [[nodiscard]] Error RefusalOf(const LimitState& state, const Limit& limit);
  /// With the bucket's shard locked. Of a quota, nothing when its period is another by now.
  void AddUnits(Bucket& bucket, const Limit& limit, double units, std::int64_t period) const;
  /// Adds units to what the ticket has taken; negative ones come back.
  void Adjust(const LimitTicket& ticket, double requests, double cost_ms,
              double running) NO_THREAD_SAFETY_ANALYSIS;

  const Options options_;
  const Clock& clock_;
  const std::unique_ptr<std::array<Shard, kShards>> shards_;
  std::atomic<bool> any_{false};                         // Partner: rules_; a call may see either.
  std::atomic<bool> counts_cost_{false};                 // The same.
  std::atomic<bool> counts_queues_{false};               // The same.
  std::atomic<bool> hungry_{false};                      // No partner.
  std::string host_;                                     // Empty: nothing is shared.
  std::size_t next_shard_ = 0;                           // Rounds only.
  std::array<std::atomic<std::uint64_t>, 4> refused_{};  // No partner.
  Published<Rules> rules_;
  Mutex mu_;  // One Replace() at a time.
  std::uint32_t last_id_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::tenancy
