#include "mezzo/cache/shared_tier.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/cache/internal/shared_entry.h"

namespace mezzo::cache {
namespace {

using internal::SharedEntry;
using runtime::Breaker;
using runtime::Context;
using runtime::Task;
using storage::KvStore;

/// Predicted runs that a lease lives for.
constexpr int kRunsOfLease = 4;
/// A call of the store takes no more than this part of what the caller has left.
constexpr int kPartOfDeadline = 4;
constexpr Duration kShortestCall = std::chrono::milliseconds(1);
/// How long results that the store can't take are not tried again.
constexpr Duration kRefusal = std::chrono::seconds(10);

/// Names of what different secrets seal do not meet.
std::string RealmOf(std::string_view secret) {
  const Sha256Digest digest = HmacSha256(secret, "realm");
  return HexEncode(std::span(digest).first(8));
}

WallTime WholeMillis(WallTime time) { return std::chrono::floor<std::chrono::milliseconds>(time); }

}  // namespace

/// Of a lease from its taking until it was given back or lost.
struct SharedTier::Lease::Held {
  Names names;
  std::string owner;
  std::uint64_t fence = 0;
  std::uint64_t epoch = 0;
  Sha256Digest key{};
  Duration life{};
  // Guarded by the tier's mutex.
  TimePoint renew_at{};
  bool lost = false;
};

/// What is to be done with a lease in the background.
struct SharedTier::Write {
  std::shared_ptr<Lease::Held> held;
  bool stores = false;  ///< False: only gives the lease back.
  SharedEntry::Kind kind = SharedEntry::Kind::kValue;
  std::function<std::string()> encode = nullptr;
  ByteCount bytes = 0;
  Duration cost{};
  Duration ttl{};
};

SharedTier::SharedTier(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      realm_(RealmOf(options_.secret)),
      breaker_(options_.breaker) {
  MEZZO_CHECK(!options_.secret.empty() && !options_.host.empty());
}

SharedTier::~SharedTier() {
  const MutexLock lock(mu_);
  MEZZO_CHECK(writing_ == 0 && !keeping_);
}

SharedTier::Statistics SharedTier::statistics() const {
  const MutexLock lock(mu_);
  return {.hits = CountOf(kHits),
          .joins = CountOf(kJoins),
          .leads = CountOf(kLeads),
          .alone = CountOf(kAlones),
          .failures = CountOf(kFailures),
          .late = CountOf(kLate),
          .refused = CountOf(kRefused),
          .corrupt = CountOf(kCorrupt),
          .outdated = CountOf(kOutdated),
          .stored = CountOf(kStored),
          .overtaken = CountOf(kOvertaken),
          .dropped = CountOf(kDropped),
          .bytes_read = CountOf(kBytesRead),
          .bytes_written = CountOf(kBytesWritten),
          .pending = pending_.size(),
          .leases = leases_.size(),
          .waiting = waiting_.load(std::memory_order_relaxed),
          .healthy = breaker_.state() == Breaker::State::kClosed};
}

SharedTier::Names SharedTier::NamesOf(const Question& question) const {
  const Sha256Digest digest = question.key.Digest();
  const std::string rest = realm_ + ":" + HexEncode(digest) + ":" + std::to_string(question.epoch);
  return {.digest = digest, .value = "cache:" + rest, .lease = "cache-lease:" + rest};
}

double SharedTier::NextUniform() {
  // SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014); in [0, 1).
  std::uint64_t x =
      options_.seed + (draws_.fetch_add(1, std::memory_order_relaxed) + 1) * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1.0p-53;
}

template <typename T>
Task<Result<T>> SharedTier::Guard(Context ctx, std::function<Task<Result<T>>(Context)> call) {
  const TimePoint begun = ports_.clock.Now();
  Breaker::Admission admission{};
  {
    const MutexLock lock(mu_);
    admission = breaker_.Admit(begun);
  }
  if (admission == Breaker::Admission::kNo) {
    co_return Unavailable("kv_unavailable", "the shared tier is left alone for a while: it failed");
  }
  Duration budget = options_.call_timeout;
  if (ctx.deadline() != kNever) {
    budget = std::clamp((ctx.deadline() - begun) / kPartOfDeadline, kShortestCall, budget);
  }
  Context own = ctx.WithDeadline(AddSaturating(begun, budget));
  Result<T> result = co_await call(std::move(own));
  std::optional<Error> error;
  if (!result.ok()) error = result.error();
  // A caller with little time left tells nothing of the store.
  const bool patient = budget >= options_.call_timeout / kPartOfDeadline;
  Report(error, patient, admission == Breaker::Admission::kProbe);
  co_return result;
}

void SharedTier::Report(const std::optional<Error>& error, bool patient, bool probe) {
  const bool says_nothing =
      error && (error->code() == Code::kCancelled || (error->code() == Code::kDeadlineExceeded && !patient));
  const MutexLock lock(mu_);
  if (says_nothing) {
    if (probe) breaker_.OnProbeGone();
    return;
  }
  const bool failed = error && error->code() != Code::kInvalidArgument;
  breaker_.OnRun(!failed, probe, ports_.clock.Now());
}

Task<Result<KvStore::Lease>> SharedTier::Acquire(Context ctx, std::string name, std::string owner,
                                                 Duration life) {
  std::function<Task<Result<KvStore::Lease>>(Context)> call = [this, &name, &owner, life](Context own) {
    return ports_.store.Acquire(std::move(own), name, owner, life);
  };
  co_return co_await Guard<KvStore::Lease>(std::move(ctx), std::move(call));
}

Task<Result<std::optional<SharedEntry>>> SharedTier::Look(Context ctx, Names names, Question question) {
  using Values = std::vector<std::optional<std::string>>;
  std::function<Task<Result<Values>>(Context)> call = [this, &names](Context own) {
    std::vector<std::string> wanted = {names.value};
    return ports_.store.Get(std::move(own), std::move(wanted));
  };
  MEZZO_CO_TRY(Values values, co_await Guard<Values>(std::move(ctx), std::move(call)));
  if (values.size() != 1 || !values[0].has_value()) co_return std::optional<SharedEntry>();
  const std::string& stored = *values[0];
  Count(kBytesRead, stored.size());
  std::optional<SharedEntry> entry;
  bool opened = false;
  if (stored.size() >= options_.offload_from) {
    auto open = [&]() -> Result<void> {
      entry = internal::OpenEntry(stored, options_.secret);
      return {};
    };
    const Result<void> done = co_await runtime::Offload(ports_.pool, std::move(open));
    opened = done.ok();
  }
  if (!opened) entry = internal::OpenEntry(stored, options_.secret);
  if (!entry.has_value() || entry->key != names.digest || entry->epoch != question.epoch) {
    Count(kCorrupt);
    co_return std::optional<SharedEntry>();
  }
  const Duration left = entry->expires - ports_.clock.WallNow();
  if (left <= Duration::zero()) co_return std::optional<SharedEntry>();
  if (left < question.min_left && entry->kind == SharedEntry::Kind::kValue) {
    co_return std::optional<SharedEntry>();
  }
  co_return entry;
}

SharedTier::Outcome SharedTier::Alone(Counter why) {
  Count(why);
  Count(kAlones);
  return {};
}

SharedTier::Outcome SharedTier::Found(SharedEntry entry, bool waited) {
  if (entry.kind == SharedEntry::Kind::kRefused) return Alone(kRefused);
  Outcome outcome;
  if (entry.kind == SharedEntry::Kind::kError) {
    outcome.error = internal::ReadErrorPayload(entry.payload);
    if (!outcome.error.has_value()) {
      Count(kCorrupt);
      return Alone(kFailures);
    }
  }
  Count(waited ? kJoins : kHits);
  outcome.kind = Kind::kFound;
  outcome.payload = std::move(entry.payload);
  outcome.cost = entry.cost;
  outcome.left = std::max(entry.expires - ports_.clock.WallNow(), Duration(1));
  outcome.waited = waited;
  return outcome;
}

Task<Result<SharedTier::Outcome>> SharedTier::Begin(Context ctx, Question question) {
  const Names names = NamesOf(question);
  // Unlike any other, so that not even two callers of this host hold one lease.
  const std::string owner =
      options_.host + ":" + std::to_string(owners_.fetch_add(1, std::memory_order_relaxed));
  const Duration life = std::clamp(question.predicted * kRunsOfLease, options_.min_lease, options_.max_lease);
  const TimePoint begun = ports_.clock.Now();
  TimePoint patience = AddSaturating(begun, options_.longest_wait);
  if (ctx.deadline() != kNever) patience = std::min(patience, ctx.deadline() - question.predicted);
  Duration pause = std::clamp(question.predicted / 4, options_.first_pause, options_.longest_pause);
  bool waited = false;
  const auto waits = [&] {
    if (!waited) return;
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    ports_.waits.Observe(ports_.clock.Now() - begun);
  };

  while (true) {
    auto looked = co_await Look(ctx, names, question);
    if (looked.ok() && looked->has_value()) {
      waits();
      co_return Found(*std::move(*looked), waited);
    }
    Result<KvStore::Lease> lease = KvStore::Lease();
    if (looked.ok()) {
      lease = co_await Acquire(ctx, names.lease, owner, life);
    } else {
      lease = looked.error();
    }
    if (!lease.ok()) {
      waits();
      if (ctx.cancelled()) break;
      co_return Alone(kFailures);
    }
    if (lease->held) {
      Lease held = Hold(question, names, owner, *lease, life);
      // Who held it before may have stored the result between the look and the lease.
      auto again = co_await Look(ctx, names, question);
      waits();
      if (again.ok() && again->has_value()) co_return Found(*std::move(*again), waited);
      Count(kLeads);
      Outcome outcome;
      outcome.kind = Kind::kLead;
      outcome.waited = waited;
      outcome.lease = std::move(held);
      co_return outcome;
    }
    if (!std::exchange(waited, true)) waiting_.fetch_add(1, std::memory_order_relaxed);
    const TimePoint now = ports_.clock.Now();
    if (now >= patience) {
      waits();
      co_return Alone(kLate);
    }
    const Duration jittered = FromSeconds(Seconds(pause) * (0.5 + NextUniform()));
    const Duration until_end = std::max(lease->left, Duration::zero()) + std::chrono::milliseconds(1);
    const TimePoint wake = std::min(patience, AddSaturating(now, std::min(jittered, until_end)));
    pause = std::min(pause * 3 / 2, options_.longest_pause);
    const Result<void> slept = co_await ports_.sleep(ctx, wake);
    if (ctx.cancelled() || !slept.ok()) {
      waits();
      if (ctx.cancelled()) break;
      co_return Alone(kLate);
    }
  }
  co_return Cancelled("cancelled", "the call was cancelled while another host computed its result");
}

SharedTier::Lease SharedTier::Hold(const Question& question, const Names& names, std::string owner,
                                   const KvStore::Lease& lease, Duration life) {
  auto held = std::make_shared<Lease::Held>();
  held->names = names;
  held->owner = std::move(owner);
  held->fence = lease.fence;
  held->epoch = question.epoch;
  held->key = names.digest;
  held->life = life;
  bool keep = false;
  {
    const MutexLock lock(mu_);
    held->renew_at = ports_.clock.Now() + life / 3;
    leases_.emplace(held.get(), held);
    keep = !std::exchange(keeping_, true);
  }
  if (keep && !ports_.spawn([this](Context ctx) { return KeepLeases(std::move(ctx)); })) {
    const MutexLock lock(mu_);
    keeping_ = false;
  }
  return {*this, std::move(held)};
}

Task<Result<void>> SharedTier::KeepLeases(Context ctx) {
  while (true) {
    const Result<void> slept = co_await ports_.sleep(ctx, ports_.clock.Now() + options_.min_lease / 6);
    std::vector<std::shared_ptr<Lease::Held>> due;
    {
      const MutexLock lock(mu_);
      if (!slept.ok() || leases_.empty()) {
        keeping_ = false;
        co_return Result<void>();
      }
      const TimePoint now = ports_.clock.Now();
      for (const auto& [key, held] : leases_) {
        if (!held->lost && held->renew_at <= now) due.push_back(held);
      }
    }
    for (const auto& held : due) {
      const Result<void> renewed = co_await Renew(ctx, held);
      if (!renewed.ok()) break;  // The others at the next turn, or not at all: the store fails.
    }
  }
}

Task<Result<void>> SharedTier::Renew(Context ctx, std::shared_ptr<Lease::Held> held) {
  const TimePoint begun = ports_.clock.Now();
  auto lease = co_await Acquire(ctx, held->names.lease, held->owner, held->life);
  if (!lease.ok()) co_return lease.error();
  const bool kept = lease->held && lease->fence == held->fence;
  bool gone = false;  // It was given back while this was under way, which has taken it anew.
  {
    const MutexLock lock(mu_);
    gone = leases_.count(held.get()) == 0;
    if (kept) {
      held->renew_at = begun + held->life / 3;
    } else {
      held->lost = true;
    }
  }
  if (lease->held && (gone || !kept)) {
    const Result<bool> released = co_await GiveBack(std::move(ctx), held, lease->fence);
    if (!released.ok()) co_return released.error();
  }
  co_return Result<void>();
}

void SharedTier::Forget(const Lease::Held& held) {
  const MutexLock lock(mu_);
  leases_.erase(&held);
}

void SharedTier::Enqueue(Write write) {
  bool full = false;
  bool start = false;
  const bool stores = write.stores;
  const auto queued = std::make_shared<Write>(std::move(write));
  {
    const MutexLock lock(mu_);
    full = pending_.size() >= options_.max_pending ||
           pending_bytes_ + queued->bytes > options_.max_pending_bytes;
    if (full) {
      leases_.erase(queued->held.get());  // It ends by itself.
    } else {
      pending_.push_back(queued);
      pending_bytes_ += queued->bytes;
      start = writing_ < options_.writers;
      if (start) ++writing_;
    }
  }
  if (full && stores) Count(kDropped);
  if (!start || ports_.spawn([this](Context ctx) { return RunWrites(std::move(ctx)); })) return;
  // The server ends.
  const MutexLock lock(mu_);
  --writing_;
  for (const auto& left : pending_) leases_.erase(left->held.get());
  pending_.clear();
  pending_bytes_ = 0;
}

Task<Result<void>> SharedTier::RunWrites(Context ctx) {
  while (true) {
    std::shared_ptr<Write> next;
    {
      const MutexLock lock(mu_);
      if (pending_.empty()) {
        --writing_;
        co_return Result<void>();
      }
      next = std::move(pending_.front());
      pending_.pop_front();
      pending_bytes_ -= next->bytes;
    }
    const Result<void> done = co_await RunWrite(ctx, next);
    if (!done.ok() && next->stores) Count(kDropped);
    Forget(*next->held);
  }
}

Task<Result<void>> SharedTier::RunWrite(Context ctx, std::shared_ptr<Write> write) {
  const Lease::Held& held = *write->held;
  bool lost = false;
  {
    const MutexLock lock(mu_);
    lost = held.lost;
  }
  if (lost) {
    if (write->stores) Count(kOvertaken);
    co_return Result<void>();
  }
  if (!write->stores) {
    const Result<bool> released = co_await GiveBack(std::move(ctx), write->held, held.fence);
    if (!released.ok()) co_return released.error();
    co_return Result<void>();
  }
  const double factor = 1 + options_.jitter * (2 * NextUniform() - 1);
  const Duration lifetime = FromSeconds(Seconds(write->ttl) * factor);
  SharedEntry entry{.kind = write->kind,
                    .epoch = held.epoch,
                    .key = held.key,
                    .stored = WholeMillis(ports_.clock.WallNow()),
                    .cost = std::max(write->cost, Duration::zero())};
  entry.expires = WholeMillis(entry.stored + lifetime);
  std::string sealed;
  auto seal = [&]() -> Result<void> {
    if (write->encode) entry.payload = write->encode();
    sealed = internal::SealEntry(entry, options_.secret);
    return {};
  };
  bool offloaded = false;
  if (write->bytes >= options_.offload_from) {
    auto in_pool = [&seal] { return seal(); };
    const Result<void> done = co_await runtime::Offload(ports_.pool, std::move(in_pool));
    offloaded = done.ok();
  }
  if (!offloaded) (void)seal();
  Result<bool> stored = co_await SetSealed(ctx, write->held, sealed, lifetime);
  if (!stored.ok() && stored.error().code() == Code::kInvalidArgument) {
    // Too large for the store: the others are not to wait for it.
    entry.kind = SharedEntry::Kind::kRefused;
    entry.payload.clear();
    const Duration shorter = std::min(lifetime, kRefusal);
    entry.expires = WholeMillis(entry.stored + shorter);
    sealed = internal::SealEntry(entry, options_.secret);
    stored = co_await SetSealed(ctx, write->held, sealed, shorter);
  }
  if (!stored.ok()) {
    // The others need not wait for the lease's end, if the store takes that much.
    (void)co_await GiveBack(std::move(ctx), write->held, held.fence);
    co_return stored.error();
  }
  Count(*stored ? kStored : kOvertaken);
  if (*stored) Count(kBytesWritten, sealed.size());
  co_return Result<void>();
}

Task<Result<bool>> SharedTier::GiveBack(Context ctx, std::shared_ptr<Lease::Held> held, std::uint64_t fence) {
  std::function<Task<Result<bool>>(Context)> release = [&](Context own) {
    return ports_.store.Release(std::move(own), held->names.lease, fence);
  };
  co_return co_await Guard<bool>(std::move(ctx), std::move(release));
}

Task<Result<bool>> SharedTier::SetSealed(Context ctx, std::shared_ptr<Lease::Held> held, std::string sealed,
                                         Duration lifetime) {
  std::function<Task<Result<bool>>(Context)> store = [&](Context own) {
    return ports_.store.SetAndRelease(std::move(own), held->names.value, std::move(sealed), lifetime,
                                      held->names.lease, held->fence);
  };
  co_return co_await Guard<bool>(std::move(ctx), std::move(store));
}

SharedTier::Lease::Lease(SharedTier& tier, std::shared_ptr<Held> held)
    : tier_(&tier), held_(std::move(held)) {}
SharedTier::Lease::Lease(Lease&& other) noexcept
    : tier_(std::exchange(other.tier_, nullptr)), held_(std::move(other.held_)) {}
SharedTier::Lease& SharedTier::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  if (tier_ != nullptr) tier_->Enqueue({.held = std::move(held_)});
  tier_ = std::exchange(other.tier_, nullptr);
  held_ = std::move(other.held_);
  return *this;
}
SharedTier::Lease::~Lease() {
  if (tier_ != nullptr) tier_->Enqueue({.held = std::move(held_)});
}

void SharedTier::Lease::Store(std::function<std::string()> encode, ByteCount bytes, Duration cost,
                              Duration ttl) {
  MEZZO_CHECK(tier_ != nullptr);
  std::exchange(tier_, nullptr)
      ->Enqueue({.held = std::move(held_),
                 .stores = true,
                 .kind = SharedEntry::Kind::kValue,
                 .encode = std::move(encode),
                 .bytes = bytes,
                 .cost = cost,
                 .ttl = ttl});
}

void SharedTier::Lease::StoreError(const Error& error, Duration cost, Duration ttl) {
  MEZZO_CHECK(tier_ != nullptr);
  std::exchange(tier_, nullptr)
      ->Enqueue({.held = std::move(held_),
                 .stores = true,
                 .kind = SharedEntry::Kind::kError,
                 .encode = [payload = internal::ErrorPayload(error)] { return payload; },
                 .bytes = error.message().size(),
                 .cost = cost,
                 .ttl = ttl});
}

void SharedTier::Lease::Refuse(Duration ttl) {
  MEZZO_CHECK(tier_ != nullptr);
  std::exchange(tier_, nullptr)
      ->Enqueue({.held = std::move(held_), .stores = true, .kind = SharedEntry::Kind::kRefused, .ttl = ttl});
}

}  // namespace mezzo::cache
