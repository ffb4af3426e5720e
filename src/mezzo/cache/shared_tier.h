#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/key.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/storage/kv_store.h"

namespace mezzo::cache {

namespace internal {
struct SharedEntry;
}  // namespace internal

/// Results that hosts have for each other, and one execution per key over all of them.
///
/// Who leads a key's flight on its host asks Begin(). What another host has computed in the model's present
/// epoch is found; else one host gets the key's lease and computes, and the others wait for what it stores:
/// as long as its lease lives (it is renewed while the holder does), not beyond their deadline less the
/// predicted run. A holder that is gone is followed by one of those who wait. A holder that was overtaken
/// stores nothing: the lease's fence tells. Storing happens in the background, behind the answer.
///
/// The store may be away, slow, empty, or lie. Then callers compute alone (kAlone): each host still runs a
/// key once at a time. No call takes longer than `call_timeout`, and a breaker makes a failing store cost
/// nothing. Entries carry an HMAC by a secret that the hosts' database has (LoadSharedSecret): what is
/// damaged, of another key, epoch or time, or not from these hosts, is as if it were not there.
///
/// Hosts' wall clocks should agree to seconds: entries end by them, and by the store's own.
///
/// Thread-safe. Stop background work, and drop all leases, before it dies.
class SharedTier {
 public:
  using Work = std::function<runtime::Task<Result<void>>(runtime::Context)>;

  struct Options {
    std::string secret = {};                                 ///< Equal on all hosts.
    std::string host = {};                                   ///< This process, unlike any other.
    Duration call_timeout = std::chrono::milliseconds(50);   ///< Of a call to the store.
    Duration min_lease = std::chrono::seconds(2);            ///< Leases live four predicted runs,
    Duration max_lease = std::chrono::seconds(30);           ///< within these bounds, and are renewed.
    Duration longest_wait = std::chrono::seconds(60);        ///< For another host.
    Duration first_pause = std::chrono::milliseconds(2);     ///< Between two looks at what another does:
    Duration longest_pause = std::chrono::milliseconds(50);  ///< grows by half each time, jittered.
    std::size_t max_pending = 4096;                          ///< Results that wait to be stored,
    ByteCount max_pending_bytes = ByteCount{64} << 20;       ///< and their memory; beyond: not stored.
    std::size_t writers = 8;                                 ///< Stores under way at a time.
    ByteCount offload_from = 32'768;                         ///< Larger entries are sealed in the pool.
    double jitter = 0.1;                                     ///< Of lifetimes, as a fraction; below 1.
    std::uint64_t seed = 1;
    runtime::Breaker::Options breaker{.first_cooldown = std::chrono::milliseconds(200),
                                      .max_cooldown = std::chrono::seconds(5)};
  };
  /// All outlive the tier.
  struct Ports {
    storage::KvStore& store;
    const Clock& clock;
    observe::Histogram& waits;  ///< For other hosts.
    runtime::BlockingPool& pool;
    /// Runs work behind the caller; false when it will not, because the server ends.
    std::function<bool(Work)> spawn;
    std::function<runtime::Task<Result<void>>(runtime::Context, TimePoint)> sleep = runtime::SleepUntil;
  };

  /// The duty to compute a key for all hosts. Move-only. Destroyed without a result, it lets another host.
  class Lease {
   public:
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();

    /// Stores what `encode` makes of the result, for `ttl` (jittered), behind the caller. `bytes` is about
    /// what the result holds. All of these spend the lease.
    void Store(std::function<std::string()> encode, ByteCount bytes, Duration cost, Duration ttl);
    /// Stores an error that would come again.
    void StoreError(const Error& error, Duration cost, Duration ttl);
    /// Tells the others that results of this key are not for sharing, for `ttl`.
    void Refuse(Duration ttl);

   private:
    friend class SharedTier;
    struct Held;
    Lease(SharedTier& tier, std::shared_ptr<Held> held);
    SharedTier* tier_;  ///< Null once spent.
    std::shared_ptr<Held> held_;
  };

  enum class Kind : std::uint8_t { kFound, kLead, kAlone };
  struct Outcome {
    Kind kind = Kind::kAlone;
    std::string payload;         ///< With kFound, unless there is an error:
    std::optional<Error> error;  ///< then it is the result.
    Duration cost{};             ///< With kFound: what computing it took.
    Duration left{};             ///< With kFound: of its life; above zero.
    bool waited = false;         ///< For another host.
    std::optional<Lease> lease;  ///< With kLead.
  };
  struct Question {
    CacheKey key;
    std::uint64_t epoch = 0;  ///< The model's when the caller began.
    Duration predicted{};     ///< Run of the model; zero: not known.
    Duration min_left{};      ///< What has less of its life left is not good enough (for refreshes).
  };
  /// Fails only with "cancelled" when the caller is, while it waits. On a loop's thread.
  runtime::Task<Result<Outcome>> Begin(runtime::Context ctx, Question question);
  /// The caller found `outcome` of no use after all: the model's epoch had risen, or is not known any more.
  void CountOutdated() { Count(kOutdated); }
  /// What was found could not be decoded.
  void CountCorrupt() { Count(kCorrupt); }

  struct Statistics {
    std::uint64_t hits = 0;      ///< Found at once.
    std::uint64_t joins = 0;     ///< Found after another host had been waited for.
    std::uint64_t leads = 0;     ///< Computed here for all hosts.
    std::uint64_t alone = 0;     ///< Computed here for this host alone:
    std::uint64_t failures = 0;  ///< calls of the store that failed, were late or refused by the breaker;
    std::uint64_t late = 0;      ///< another host took too long;
    std::uint64_t refused = 0;   ///< results that are not for sharing.
    std::uint64_t corrupt = 0;   ///< Entries that did not verify.
    std::uint64_t outdated = 0;  ///< Found, and not served because the epoch rose meanwhile.
    std::uint64_t stored = 0;
    std::uint64_t overtaken = 0;  ///< Not stored: the lease had ended.
    std::uint64_t dropped = 0;    ///< Not stored: too many wait, or the store failed.
    ByteCount bytes_read = 0;     ///< Of entries, before compression.
    ByteCount bytes_written = 0;
    std::size_t pending = 0;   ///< Results that wait to be stored.
    std::size_t leases = 0;    ///< That this host holds.
    std::int64_t waiting = 0;  ///< Keys that this host waits for another to compute.
    bool healthy = true;       ///< False: the breaker is open.
  };
  [[nodiscard]] Statistics statistics() const EXCLUDES(mu_);

  SharedTier(Options options, Ports ports);
  ~SharedTier();
  SharedTier(const SharedTier&) = delete;
  SharedTier& operator=(const SharedTier&) = delete;

 private:
  enum Counter : std::uint8_t {
    kHits,
    kJoins,
    kLeads,
    kAlones,
    kFailures,
    kLate,
    kRefused,
    kCorrupt,
    kOutdated,
    kStored,
    kOvertaken,
    kDropped,
    kBytesRead,
    kBytesWritten,
    kCounters
  };
  struct Write;
  struct Names {
    Sha256Digest digest{};
    std::string value;
    std::string lease;
  };

  void Count(Counter counter, std::uint64_t by = 1) {
    counters_[counter].fetch_add(by, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t CountOf(Counter counter) const {
    return counters_[counter].load(std::memory_order_relaxed);
  }
  [[nodiscard]] Names NamesOf(const Question& question) const;
  [[nodiscard]] double NextUniform();
  /// A call of the store within the budget, if the breaker lets it.
  template <typename T>
  runtime::Task<Result<T>> Guard(runtime::Context ctx,
                                 std::function<runtime::Task<Result<T>>(runtime::Context)> call);
  void Report(const std::optional<Error>& error, bool patient, bool probe) EXCLUDES(mu_);
  runtime::Task<Result<storage::KvStore::Lease>> Acquire(runtime::Context ctx, std::string name,
                                                         std::string owner, Duration life);
  /// What the store has for the question, if it verifies.
  runtime::Task<Result<std::optional<internal::SharedEntry>>> Look(runtime::Context ctx, Names names,
                                                                   Question question);
  Outcome Found(internal::SharedEntry entry, bool waited);
  Outcome Alone(Counter why);

  Lease Hold(const Question& question, const Names& names, std::string owner,
             const storage::KvStore::Lease& lease, Duration life) EXCLUDES(mu_);
  runtime::Task<Result<void>> KeepLeases(runtime::Context ctx);
  runtime::Task<Result<void>> Renew(runtime::Context ctx, std::shared_ptr<Lease::Held> held);
  void Forget(const Lease::Held& held) EXCLUDES(mu_);
  void Enqueue(Write write) EXCLUDES(mu_);
  runtime::Task<Result<void>> RunWrites(runtime::Context ctx);
  runtime::Task<Result<void>> RunWrite(runtime::Context ctx, std::shared_ptr<Write> write);
  runtime::Task<Result<bool>> GiveBack(runtime::Context ctx, std::shared_ptr<Lease::Held> held,
                                       std::uint64_t fence);
  runtime::Task<Result<bool>> SetSealed(runtime::Context ctx, std::shared_ptr<Lease::Held> held,
                                        std::string sealed, Duration lifetime);

  const Options options_;
  const Ports ports_;
  const std::string realm_;                                       ///< Of names: other secrets have others.
  std::array<std::atomic<std::uint64_t>, kCounters> counters_{};  // No partners.
  std::atomic<std::uint64_t> draws_{0};                           // Numbers random draws; no partner.
  std::atomic<std::uint64_t> owners_{0};                          // Numbers owners; no partner.
  std::atomic<std::int64_t> waiting_{0};                          // A gauge; no partner.

  mutable Mutex mu_;
  runtime::Breaker breaker_ GUARDED_BY(mu_);
  std::unordered_map<const Lease::Held*, std::shared_ptr<Lease::Held>> leases_ GUARDED_BY(mu_);
  bool keeping_ GUARDED_BY(mu_) = false;  // KeepLeases() runs.
  std::deque<std::shared_ptr<Write>> pending_ GUARDED_BY(mu_);
  ByteCount pending_bytes_ GUARDED_BY(mu_) = 0;
  std::size_t writing_ GUARDED_BY(mu_) = 0;  // RunWrites() under way.
};

}  // namespace mezzo::cache
