#include "mezzo/tenancy/limiter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/gcra.h"
#include "mezzo/tenancy/shared_permits.h"

namespace mezzo::tenancy {
namespace {

constexpr double kNanosPerSecond = 1e9;
/// About 30 years: what arithmetic on arrival times saturates at.
constexpr double kLongestNanos = 1e18;

std::int64_t NanosOf(TimePoint time) { return time.time_since_epoch().count(); }

std::int64_t Saturated(double nanos) {
  return static_cast<std::int64_t>(std::clamp(nanos, -kLongestNanos, kLongestNanos));
}

/// How long `units` take at the limit's rate.
std::int64_t Emission(const Limit& limit, double units) {
  return Saturated(storage::GcraTicks::Of(limit.rate, kNanosPerSecond).Cost(units));
}

/// How far ahead the arrival time may lie.
std::int64_t Tolerance(const Limit& limit) {
  return Saturated(storage::GcraTicks::Of(limit.rate, kNanosPerSecond).Tolerance(limit.burst));
}

/// In which the burst comes back.
Duration WindowOf(const Limit& limit) {
  return Duration(Saturated(std::round(limit.burst / limit.rate * kNanosPerSecond)));
}

/// A day or month of UTC: its number, and where it lies.
struct Period {
  std::int64_t number = 0;
  WallTime begins;
  WallTime ends;
};

Period PeriodOf(LimitKind kind, WallTime now) {
  using std::chrono::days;
  const auto today = std::chrono::floor<days>(now);
  if (!IsMonthly(kind)) return {today.time_since_epoch().count(), WallTime(today), WallTime(today + days(1))};
  const std::chrono::year_month_day date(today);
  const auto month = date.year() / date.month();
  constexpr int kMonths = 12;
  return {
      .number = std::int64_t{static_cast<int>(date.year())} * kMonths + static_cast<unsigned>(date.month()),
      .begins = WallTime(std::chrono::sys_days(month / 1)),
      .ends = WallTime(std::chrono::sys_days((month + std::chrono::months(1)) / 1))};
}

bool CountsRequests(LimitKind kind) {
  return kind == LimitKind::kRequests || kind == LimitKind::kDailyRequests ||
         kind == LimitKind::kMonthlyRequests;
}
bool CountsCost(LimitKind kind) {
  return kind == LimitKind::kCost || kind == LimitKind::kDailyCost || kind == LimitKind::kMonthlyCost;
}

/// Held as long as the ticket lives.
bool IsHeld(LimitKind kind) { return kind == LimitKind::kConcurrency || IsQueue(kind); }

/// How much of a limit on what is held there is.
double AmountOf(const Limit& limit, std::size_t queue_places) {
  if (limit.kind != LimitKind::kQueueShare || limit.amount <= 0) return limit.amount;
  return std::max(1.0, std::floor(limit.amount * static_cast<double>(queue_places)));
}

/// What of a call a limit counts. `running`: what it holds.
double UnitsOf(LimitKind kind, double requests, double cost_ms, double running) {
  if (CountsRequests(kind)) return requests;
  if (CountsCost(kind)) return cost_ms;
  return IsHeld(kind) ? running : 0;
}

std::size_t Mix(std::size_t hash, std::size_t value) {
  constexpr std::size_t kGolden = 0x9e3779b97f4a7c15ULL;
  hash ^= value + kGolden + (hash << 6U) + (hash >> 2U);
  hash *= kGolden;
  return hash ^ (hash >> 32U);  // The low bits choose the shard: bring what the high ones know down.
}

std::string_view UnitName(LimitKind kind) {
  if (CountsRequests(kind)) return "requests";
  if (CountsCost(kind)) return "ms of device time";
  if (IsQueue(kind)) return "may wait";
  return kind == LimitKind::kConcurrency ? "calls at once" : "of the budget";
}

}  // namespace

struct Limiter::Rule {
  Limit limit;
  std::uint32_t id = 0;        // Of its buckets; stays while name, kind and `per` stay.
  std::int64_t tolerance = 0;  // Of rates: the burst, as time.

  [[nodiscard]] bool Matches(const Caller& caller, std::string_view model) const {
    return (limit.tenant.empty() || limit.tenant == caller.tenant->id) &&
           (limit.project.empty() || limit.project == caller.project) &&
           (limit.key.empty() || limit.key == caller.key) &&
           (limit.model.empty() || limit.model.str() == model);
  }
};

struct Limiter::Rules {
  std::vector<Rule> all;
  std::map<std::string, const Rule*, std::less<>> by_name;
  // Each rule stands in one of these, so that a call looks only at those that can match.
  std::unordered_map<KeyId, std::vector<const Rule*>> by_key;
  std::unordered_map<TenantId, std::vector<const Rule*>> by_tenant;
  std::map<std::string, std::vector<const Rule*>, std::less<>> by_model;
  std::vector<const Rule*> any;
  bool has_quotas = false;
};

struct Limiter::BucketKeyHash {
  std::size_t operator()(const BucketKey& key) const noexcept {
    std::size_t hash = Mix(key.rule, (std::size_t{key.tenant} << 32U) | key.key);
    if ((key.project | key.model) != 0) hash = Mix(Mix(hash, key.project), key.model);
    return hash;
  }
};

struct Limiter::Bucket {
  std::int64_t tat = 0;      // Rates: theoretical arrival time. At most now: full.
  double count = 0;          // Concurrency: calls that run; quotas: used in `period`.
  std::int64_t period = -1;  // Quotas.
  LimitKind kind = LimitKind::kRequests;
  bool listed = false;  // In the shard's `active`.
  std::unique_ptr<SharedRate> rate;
  std::unique_ptr<SharedPermits> permits;

  /// Whether a new bucket would be the same.
  [[nodiscard]] bool IsIdle(std::int64_t now, std::int64_t day, std::int64_t month) const {
    if (listed) return false;
    if (rate != nullptr) return rate->IsFull(TimePoint(Duration(now)));
    if (IsRate(kind)) return tat <= now;
    if (IsHeld(kind)) return count <= 0;  // Otherwise tickets point here.
    return count == 0 || period != (IsMonthly(kind) ? month : day);
  }
};

struct Limiter::Shard {
  mutable Mutex mu;
  std::unordered_map<BucketKey, Bucket, BucketKeyHash> buckets GUARDED_BY(mu);
  std::size_t next_sweep GUARDED_BY(mu) = 64;  // Of buckets.
  std::vector<Bucket*> active GUARDED_BY(mu);  // Shared ones in use.
  SharingView view GUARDED_BY(mu);
};

struct Limiter::Match {
  const Rule* rule = nullptr;
  BucketKey key;
  std::uint32_t shard = 0;
  Bucket* bucket = nullptr;
};

namespace {

/// Locks are held for a fraction of a microsecond: to wait a little is cheaper than to sleep.
void LockSoon(Mutex& mu) NO_THREAD_SAFETY_ANALYSIS {
  constexpr int kTries = 200;
  for (int i = 0; i < kTries; ++i) {
    if (mu.TryLock()) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  mu.Lock();
}

}  // namespace

/// Locks the shards of sorted entries, each once, in order, so that two calls never wait for each other.
class Limiter::ShardLocks {
 public:
  template <typename Entries, typename Wanted>
  ShardLocks(std::array<Shard, kShards>& shards, const Entries& entries,
             Wanted wanted) NO_THREAD_SAFETY_ANALYSIS : shards_(shards) {
    for (const auto& entry : entries) {
      const std::uint64_t bit = std::uint64_t{1} << entry.shard;
      if ((locked_ & bit) != 0 || !wanted(entry)) continue;
      locked_ |= bit;
      LockSoon(shards_.at(entry.shard).mu);
    }
  }
  ~ShardLocks() NO_THREAD_SAFETY_ANALYSIS {
    for (std::size_t i = 0; locked_ != 0; ++i, locked_ >>= 1U) {
      if ((locked_ & 1U) != 0) shards_.at(i).mu.Unlock();
    }
  }
  ShardLocks(const ShardLocks&) = delete;
  ShardLocks& operator=(const ShardLocks&) = delete;

 private:
  std::array<Shard, kShards>& shards_;
  std::uint64_t locked_ = 0;
};

Limiter::Limiter(Options options, const Clock& clock)
    : options_(options),
      clock_(clock),
      shards_(std::make_unique<std::array<Shard, kShards>>()),
      rules_(std::make_shared<const Rules>()) {}

Limiter::~Limiter() = default;

void Limiter::Replace(const std::vector<Limit>& limits) {
  auto rules = std::make_shared<Rules>();
  std::map<std::string_view, const Limit*> last;
  for (const Limit& limit : limits) last[limit.name] = &limit;
  bool counts_cost = false;
  bool counts_queues = false;
  MutexLock lock(mu_);
  const RulesRef old = rules_.Get();
  rules->all.reserve(last.size());
  for (const auto& [name, limit] : last) {
    Rule rule{.limit = *limit};
    const auto before = old->by_name.find(name);
    const bool goes_on = before != old->by_name.end() && before->second->limit.kind == limit->kind &&
                         before->second->limit.per == limit->per;
    rule.id = goes_on ? before->second->id : ++last_id_;
    if (IsRate(limit->kind)) rule.tolerance = Tolerance(*limit);
    counts_cost = counts_cost || CountsCost(limit->kind);
    counts_queues = counts_queues || IsQueue(limit->kind);
    rules->has_quotas = rules->has_quotas || IsQuota(limit->kind);
    rules->all.push_back(std::move(rule));
  }
  for (const Rule& rule : rules->all) {
    rules->by_name.emplace(rule.limit.name, &rule);
    if (!rule.limit.key.empty()) {
      rules->by_key[rule.limit.key].push_back(&rule);
    } else if (!rule.limit.tenant.empty()) {
      rules->by_tenant[rule.limit.tenant].push_back(&rule);
    } else if (!rule.limit.model.empty()) {
      rules->by_model[rule.limit.model.str()].push_back(&rule);
    } else {
      rules->any.push_back(&rule);
    }
  }
  any_.store(!rules->all.empty(), std::memory_order_relaxed);
  counts_cost_.store(counts_cost, std::memory_order_relaxed);
  counts_queues_.store(counts_queues, std::memory_order_relaxed);
  (void)rules_.Replace(std::move(rules));
}

std::vector<Limit> Limiter::limits() const {
  std::vector<Limit> limits;
  const RulesRef rules = rules_.Get();
  for (const Rule& rule : rules->all) limits.push_back(rule.limit);
  return limits;
}

std::size_t Limiter::buckets() const {
  std::size_t count = 0;
  for (const Shard& shard : *shards_) {
    MutexLock lock(shard.mu);
    count += shard.buckets.size();
  }
  return count;
}

std::array<std::uint64_t, 4> Limiter::refusals() const {
  std::array<std::uint64_t, 4> counts{};
  for (std::size_t i = 0; i < counts.size(); ++i)
    counts.at(i) = refused_.at(i).load(std::memory_order_relaxed);
  return counts;
}

Limiter::BucketKey Limiter::KeyFor(const Rule& rule, const Caller& caller, std::string_view model) {
  const std::uint8_t per = rule.limit.per;
  BucketKey key{.rule = rule.id};
  if ((per & (kPerTenant | kPerProject)) != 0) key.tenant = caller.tenant->index + 1;
  if ((per & kPerProject) != 0) key.project = std::hash<ProjectId>{}(caller.project);
  if ((per & kPerKey) != 0) key.key = caller.key_index + 1;
  if ((per & kPerModel) != 0) key.model = std::hash<std::string_view>{}(model);
  return key;
}

void Limiter::Sweep(Shard& shard, TimePoint now) {
  const WallTime wall = clock_.WallNow();
  const std::int64_t day = PeriodOf(LimitKind::kDailyRequests, wall).number;
  const std::int64_t month = PeriodOf(LimitKind::kMonthlyRequests, wall).number;
  std::erase_if(shard.buckets,
                [&](const auto& entry) { return entry.second.IsIdle(NanosOf(now), day, month); });
  constexpr std::size_t kFewest = 64;
  shard.next_sweep = std::max(kFewest, shard.buckets.size() * 2);
}

Limiter::Bucket* Limiter::FindBucket(Shard& shard, const BucketKey& key, TimePoint now, bool* swept) {
  const auto found = shard.buckets.find(key);
  if (found != shard.buckets.end()) return &found->second;
  const std::size_t most = std::max<std::size_t>(1, options_.max_buckets / kShards);
  if (shard.buckets.size() >= std::min(shard.next_sweep, most)) {
    Sweep(shard, now);
    if (swept != nullptr) *swept = true;
    shard.next_sweep = std::min(shard.next_sweep, most);
    if (shard.buckets.size() >= most) return nullptr;
  }
  return &shard.buckets[key];
}

bool Limiter::FindBuckets(std::span<Match> matches, TimePoint now, std::size_t* found) {
  // A sweep may take what was found before it, so that all must be found again; where there is hardly room,
  // they could go on taking each other's.
  const std::size_t wanted = matches.size();
  for (std::size_t tries = 0; tries <= wanted; ++tries) {
    bool swept = false;
    *found = 0;
    for (Match& match : matches) {
      match.bucket = FindBucket((*shards_)[match.shard], match.key, now, &swept);
      if (match.bucket == nullptr) break;
      ++*found;
    }
    if (!swept) return *found == wanted;
    if (*found < matches.size()) matches = matches.first(*found);
  }
  *found = 0;
  return false;
}

namespace {

/// Whether a rate lets `units` through, and what it looks like then.
struct RateCheck {
  bool refused = false;
  std::int64_t tat = 0;
};
RateCheck CheckRate(const Limit& limit, std::int64_t tolerance, std::int64_t tat, double units,
                    std::int64_t now) {
  const std::int64_t from = std::max(now, tat);
  RateCheck check{.tat = from + Emission(limit, units)};
  // What is larger than the burst passes when the bucket is full.
  check.refused = check.tat - now > tolerance && from > now;
  if (units <= limit.burst) check.refused = check.tat - now > tolerance;
  return check;
}

}  // namespace

Error Limiter::RefusalOf(const LimitState& state, const Limit& limit) {
  const auto count = [this](std::size_t slug) { refused_.at(slug).fetch_add(1, std::memory_order_relaxed); };
  const std::string name = "limit '" + limit.name + "'";
  const std::string units(UnitName(limit.kind));
  if (IsRate(limit.kind)) {
    count(0);
    return ResourceExhausted("rate_limited",
                             fmt::format("{} is used up: {:g} {} a second, {:g} at once; come "
                                         "back in {:.3g} s",
                                         name, limit.rate, units, limit.burst, Seconds(state.reset)))
        .WithRetryAfter(state.reset);
  }
  if (limit.kind == LimitKind::kConcurrency) {
    count(1);
    return ResourceExhausted("concurrency_limited",
                             fmt::format("{} is used up: {:g} {}", name, limit.amount, units))
        .WithRetryAfter(state.reset);
  }
  if (IsQueue(limit.kind)) {
    count(3);
    return ResourceExhausted("queue_limited",
                             fmt::format("limit '{}' is used up: {:g} {}", limit.name, state.amount, units))
        .WithRetryAfter(state.reset);
  }
  count(2);
  return ResourceExhausted(
             "quota_exceeded",
             fmt::format("{} is used up: {:g} {} a {}; it starts anew in {:.0f} s", name, limit.amount, units,
                         IsMonthly(limit.kind) ? "month" : "day", std::ceil(Seconds(state.reset))))
      .WithRetryAfter(state.reset);
}

Result<LimitTicket> Limiter::Admit(const CallFacts& facts, LimitState* state) NO_THREAD_SAFETY_ANALYSIS {
  if (!any_.load(std::memory_order_relaxed)) return LimitTicket();
  const RulesRef rules = rules_.Get();
  const bool about_queue = facts.queue_places > 0;
  boost::container::small_vector<Match, kUsualMatches> matches;
  const auto look = [&](const std::vector<const Rule*>& candidates) {
    for (const Rule* rule : candidates) {
      if (!rule->Matches(facts.caller, facts.model)) continue;
      if (rule->limit.kind == LimitKind::kConcurrency && !facts.counts_concurrency) continue;
      if (IsQueue(rule->limit.kind) != about_queue) continue;
      Match match{.rule = rule, .key = KeyFor(*rule, facts.caller, facts.model)};
      match.shard = static_cast<std::uint32_t>(BucketKeyHash{}(match.key) % kShards);
      matches.push_back(match);
    }
  };
  look(rules->any);
  if (const auto own = rules->by_tenant.find(facts.caller.tenant->id); own != rules->by_tenant.end()) {
    look(own->second);
  }
  if (!rules->by_key.empty() && !facts.caller.key.empty()) {
    if (const auto own = rules->by_key.find(facts.caller.key); own != rules->by_key.end()) look(own->second);
  }
  if (!rules->by_model.empty()) {
    if (const auto own = rules->by_model.find(facts.model); own != rules->by_model.end()) look(own->second);
  }
  if (matches.empty()) return LimitTicket();
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.shard < b.shard; });

  const TimePoint now = facts.now == kNever ? clock_.Now() : facts.now;
  const std::int64_t nanos = NanosOf(now);
  const WallTime wall = rules->has_quotas ? clock_.WallNow() : WallTime();
  const double requests = facts.counts_request && !about_queue ? 1 : 0;
  const double running = facts.counts_concurrency || about_queue ? 1 : 0;
  const double cost = std::isfinite(facts.cost_ms) && !about_queue ? std::max(0.0, facts.cost_ms) : 0;

  LimitState worst;
  const Rule* hit = nullptr;       // The one that refuses, for longest.
  const Rule* tightest = nullptr;  // If none does.
  double least_left = 2;
  const auto note = [&](const Rule& rule, LimitState now_state) {
    if (now_state.refused) {
      if (hit == nullptr || now_state.reset > worst.reset) {
        hit = &rule;
        worst = std::move(now_state);
      }
      return;
    }
    if (hit != nullptr || IsHeld(rule.limit.kind)) return;
    const double left = now_state.amount > 0 ? now_state.remaining / now_state.amount : 0;
    if (left >= least_left) return;
    least_left = left;
    tightest = &rule;
    worst = std::move(now_state);
  };

  const ShardLocks locks(*shards_, matches, [](const Match&) { return true; });
  std::size_t known = 0;
  const bool full = !FindBuckets(matches, now, &known) && facts.refusable;
  matches.resize(known);
  for (const Match& match : matches) {
    Bucket& bucket = *match.bucket;
    const Rule& rule = *match.rule;
    const Limit& limit = rule.limit;
    bucket.kind = limit.kind;
    const double units = UnitsOf(limit.kind, requests, cost, running);
    LimitState found{.kind = limit.kind};
    if (!host_.empty()) ShareBucket((*shards_)[match.shard], bucket, rule, facts);
    if (bucket.rate != nullptr) {
      const SharedRate::Check check = bucket.rate->Look(now, (*shards_)[match.shard].view, units);
      found.amount = limit.burst;
      found.window = WindowOf(limit);
      found.refused = check.refused;
      found.reset = check.reset;
      found.remaining = std::min(limit.burst, check.remaining);
    } else if (bucket.permits != nullptr) {
      const auto check = bucket.permits->Look((*shards_)[match.shard].view, bucket.count, units);
      found.amount = limit.amount;
      found.refused = check.refused;
      found.reset = options_.concurrency_retry;
      found.remaining = check.remaining;
    } else if (IsRate(limit.kind)) {
      const RateCheck check = CheckRate(limit, rule.tolerance, bucket.tat, units, nanos);
      found.amount = limit.burst;
      found.window = WindowOf(limit);
      found.refused = check.refused;
      const std::int64_t wait =
          units <= limit.burst ? check.tat - nanos - rule.tolerance : bucket.tat - nanos;
      found.reset = Duration(check.refused ? wait : check.tat - nanos);
      found.remaining = std::max(
          0.0, static_cast<double>(rule.tolerance - (check.tat - nanos)) / kNanosPerSecond * limit.rate);
    } else if (IsHeld(limit.kind)) {
      found.amount = AmountOf(limit, facts.queue_places);
      found.refused = bucket.count + units > found.amount;
      found.reset = options_.concurrency_retry;
      found.remaining = std::max(0.0, found.amount - bucket.count - units);
    } else {
      const Period period = PeriodOf(limit.kind, wall);
      if (bucket.period != period.number) {
        bucket.period = period.number;
        bucket.count = 0;
      }
      found.amount = limit.amount;
      found.window = period.ends - period.begins;
      found.reset = period.ends - wall;
      // What is measured only later (cost, money) may go over once; the next call then waits.
      found.refused =
          CountsRequests(limit.kind) ? bucket.count + units > limit.amount : bucket.count >= limit.amount;
      found.remaining = std::max(0.0, limit.amount - bucket.count - units);
    }
    found.refused = found.refused && facts.refusable;
    if (found.refused) found.remaining = 0;
    note(rule, std::move(found));
  }

  if (hit != nullptr || full) {
    if (hit != nullptr && !host_.empty()) {
      for (const Match& match : matches) {
        const Bucket& bucket = *match.bucket;
        if ((bucket.rate != nullptr && bucket.rate->hungry()) ||
            (bucket.permits != nullptr && bucket.permits->hungry())) {
          hungry_.store(true, std::memory_order_relaxed);
        }
      }
    }
    if (full) {
      return ResourceExhausted("limits_full", "this host counts for " + std::to_string(options_.max_buckets) +
                                                  " limits, keys and models already")
          .WithRetryAfter(options_.concurrency_retry);
    }
    Error refusal = RefusalOf(worst, hit->limit);
    if (state != nullptr) {
      *state = std::move(worst);
      state->name = hit->limit.name;
    }
    return refusal;
  }

  LimitTicket ticket;
  ticket.limiter_ = this;
  ticket.rules_ = rules;
  ticket.requests_ = requests;
  ticket.cost_ms_ = cost;
  ticket.running_ = running;
  for (const Match& match : matches) {
    Bucket& bucket = *match.bucket;
    const Limit& limit = match.rule->limit;
    const double units = UnitsOf(limit.kind, requests, cost, running);
    if (bucket.rate != nullptr) {
      bucket.rate->Take(units);
      if (bucket.rate->hungry()) hungry_.store(true, std::memory_order_relaxed);
    } else if (IsRate(limit.kind)) {
      bucket.tat = CheckRate(limit, match.rule->tolerance, bucket.tat, units, nanos).tat;
    } else {
      bucket.count += units;
      if (bucket.permits != nullptr && bucket.permits->hungry())
        hungry_.store(true, std::memory_order_relaxed);
    }
    ticket.held_.push_back({.limit = &limit,
                            .key = match.key,
                            .bucket = IsHeld(limit.kind) && units > 0 ? &bucket : nullptr,
                            .shard = match.shard,
                            .period = bucket.period});
  }
  if (state != nullptr && tightest != nullptr) {
    *state = std::move(worst);
    state->name = tightest->limit.name;
  }
  return ticket;
}

void Limiter::AddUnits(Bucket& bucket, const Limit& limit, double units, std::int64_t period) const {
  if (bucket.rate != nullptr) {
    bucket.rate->Take(units);
  } else if (IsRate(limit.kind)) {
    // What comes late adds to a bucket that has filled up meanwhile; what comes back only takes away from
    // what is still owed: before `now` means full.
    if (units > 0) bucket.tat = std::max(bucket.tat, NanosOf(clock_.Now()));
    bucket.tat += Emission(limit, units);
  } else if (IsHeld(limit.kind) || bucket.period == period) {
    bucket.count = std::max(0.0, bucket.count + units);
  }
}

void Limiter::AddCost(const Caller& caller, std::string_view model, double ms) NO_THREAD_SAFETY_ANALYSIS {
  if (!counts_cost() || !std::isfinite(ms) || ms == 0) return;
  const RulesRef rules = rules_.Get();
  const TimePoint now = clock_.Now();
  const CallFacts facts{.caller = caller, .model = model};
  for (const Rule& rule : rules->all) {
    const Limit& limit = rule.limit;
    const bool is_of_keys = !limit.key.empty() || (limit.per & kPerKey) != 0;
    if (!CountsCost(limit.kind) || (is_of_keys && caller.key.empty()) || !rule.Matches(caller, model))
      continue;
    const BucketKey key = KeyFor(rule, caller, model);
    Shard& shard = shards_->at(BucketKeyHash{}(key) % kShards);
    LockSoon(shard.mu);
    Bucket* bucket = FindBucket(shard, key, now);
    if (bucket != nullptr) {
      bucket->kind = limit.kind;
      if (!host_.empty()) ShareBucket(shard, *bucket, rule, facts);
      const std::int64_t period = IsQuota(limit.kind) ? PeriodOf(limit.kind, clock_.WallNow()).number : -1;
      if (IsQuota(limit.kind) && bucket->period != period) {
        bucket->period = period;
        bucket->count = 0;
      }
      AddUnits(*bucket, limit, ms, period);
    }
    shard.mu.Unlock();
  }
}

void Limiter::Adjust(const LimitTicket& ticket, double requests, double cost_ms, double running) {
  const auto units_of = [&](const LimitTicket::Held& held) {
    return IsHeld(held.limit->kind) && held.bucket == nullptr
               ? 0
               : UnitsOf(held.limit->kind, requests, cost_ms, running);
  };
  // Shards where nothing changes stay unlocked.
  const ShardLocks locks(*shards_, ticket.held_,
                         [&](const LimitTicket::Held& held) { return units_of(held) != 0; });
  for (const LimitTicket::Held& held : ticket.held_) {
    const double units = units_of(held);
    if (units == 0) continue;
    Shard& shard = (*shards_)[held.shard];
    auto* bucket = static_cast<Bucket*>(held.bucket);
    if (bucket == nullptr) {
      // A bucket that has gone was full: nothing to give back to, and what comes late begins it anew.
      const auto found = shard.buckets.find(held.key);
      if (found != shard.buckets.end()) {
        bucket = &found->second;
      } else if (units > 0) {
        bucket = FindBucket(shard, held.key, clock_.Now());
        if (bucket != nullptr) {
          bucket->kind = held.limit->kind;
          bucket->period = held.period;
        }
      }
    }
    if (bucket != nullptr) AddUnits(*bucket, *held.limit, units, held.period);
  }
}

Result<void> Limiter::RaiseUsed(std::string_view name, const Caller& caller, std::string_view model,
                                double used) NO_THREAD_SAFETY_ANALYSIS {
  const RulesRef rules = rules_.Get();
  const auto found = rules->by_name.find(name);
  if (found == rules->by_name.end()) {
    return NotFound("limit_unknown", "there is no limit '" + std::string(name.substr(0, 64)) + "'");
  }
  const Rule& rule = *found->second;
  if (!IsQuota(rule.limit.kind) || !std::isfinite(used) || used < 0) {
    return InvalidArgument("limit_invalid",
                           "limit '" + rule.limit.name + "' is no quota, or what is used is no amount");
  }
  const BucketKey key = KeyFor(rule, caller, model);
  Shard& shard = shards_->at(BucketKeyHash{}(key) % kShards);
  const MutexLock lock(shard.mu);
  Bucket* bucket = FindBucket(shard, key, clock_.Now());
  if (bucket == nullptr) return ResourceExhausted("limits_full", "no room to count more");
  bucket->kind = rule.limit.kind;
  const std::int64_t period = PeriodOf(rule.limit.kind, clock_.WallNow()).number;
  bucket->count = bucket->period == period ? std::max(bucket->count, used) : used;
  bucket->period = period;
  return {};
}

void Limiter::Share(std::string host) { host_ = std::move(host); }

void Limiter::ShareBucket(Shard& shard, Bucket& bucket, const Rule& rule, const CallFacts& facts) {
  const Limit& limit = rule.limit;
  const bool is_rate = IsRate(limit.kind);
  if (IsQuota(limit.kind) || IsQueue(limit.kind)) return;  // Queues are this host's own.
  if (bucket.rate == nullptr && bucket.permits == nullptr) {
    // Indices and hashes are this process's own: what hosts share is named by what it stands for.
    std::string name = limit.name + '\n' + std::string(LimitKindName(limit.kind)) + '\n';
    name += std::to_string(limit.per) + '\n';
    if ((limit.per & (kPerTenant | kPerProject)) != 0) name += facts.caller.tenant->id.str();
    name += '\n';
    if ((limit.per & kPerProject) != 0) name += facts.caller.project.str();
    name += '\n';
    if ((limit.per & kPerKey) != 0) name += facts.caller.key.str();
    name += '\n';
    if ((limit.per & kPerModel) != 0) name += facts.model;
    constexpr std::size_t kDigits = 32;
    const std::string key = "limit:" + Sha256Hex(name).substr(0, kDigits);
    if (is_rate) {
      bucket.rate = std::make_unique<SharedRate>(key);
    } else {
      bucket.permits = std::make_unique<SharedPermits>(key);
    }
  }
  if (bucket.rate != nullptr) bucket.rate->Set(limit.rate, limit.burst);
  if (bucket.permits != nullptr) bucket.permits->Set(limit.amount);
  if (bucket.listed) return;
  bucket.listed = true;
  shard.active.push_back(&bucket);
}

Limiter::Round Limiter::BeginRound(bool announce, std::size_t most) NO_THREAD_SAFETY_ANALYSIS {
  Round round;
  hungry_.store(false, std::memory_order_relaxed);
  const TimePoint now = clock_.Now();
  const auto is_full = [&] { return round.tokens.size() >= most || round.permits.size() >= most; };
  const std::size_t first = next_shard_;
  for (std::size_t n = 0; n < kShards && !is_full(); ++n) {
    const auto index = static_cast<std::uint32_t>((first + n) % kShards);
    Shard& shard = shards_->at(index);
    LockSoon(shard.mu);
    std::size_t done = 0;
    while (done < shard.active.size() && !is_full()) {
      Bucket& bucket = *shard.active[done];
      if (bucket.rate != nullptr ? bucket.rate->IsQuiet(now)
                                 : bucket.count <= 0 && bucket.permits->IsQuiet()) {
        bucket.listed = false;
        shard.active[done] = shard.active.back();
        shard.active.pop_back();
        continue;
      }
      ++done;
      AskFor(bucket, index, announce, now, shard.view, round);
    }
    if (done < shard.active.size()) {
      // The next round begins with what had no room in this one.
      std::rotate(shard.active.begin(), shard.active.begin() + static_cast<std::ptrdiff_t>(done),
                  shard.active.end());
      next_shard_ = index;
      hungry_.store(true, std::memory_order_relaxed);
    }
    shard.mu.Unlock();
  }
  return round;
}

void Limiter::AskFor(Bucket& bucket, std::uint32_t shard, bool announce, TimePoint now,
                     const SharingView& view, Round& round) const {
  const Round::Asker asker{.bucket = &bucket, .shard = shard};
  if (bucket.permits != nullptr) {
    auto request = bucket.permits->Ask(now, view, host_, bucket.count);
    if (!request.has_value()) return;
    round.permits.push_back(*std::move(request));
    round.permit_askers_.push_back(asker);
    return;
  }
  if (announce) {
    round.permits.push_back(bucket.rate->Announce(now, host_));
    round.permit_askers_.push_back(asker);
  }
  auto request = bucket.rate->Ask(now, view);
  if (!request.has_value()) return;
  round.tokens.push_back(*std::move(request));
  round.token_askers_.push_back(asker);
}

void Limiter::EndRound(const Round& round, const std::vector<storage::TokenStore::TokenGrant>* tokens,
                       const std::vector<storage::TokenStore::PermitGrant>* permits)
    NO_THREAD_SAFETY_ANALYSIS {
  const TimePoint now = clock_.Now();
  const auto each = [this](const std::vector<Round::Asker>& askers, std::size_t answers, auto answer)
                        NO_THREAD_SAFETY_ANALYSIS {
                          for (std::size_t i = 0; i < std::min(askers.size(), answers); ++i) {
                            Shard& shard = shards_->at(askers[i].shard);
                            LockSoon(shard.mu);
                            answer(*static_cast<Bucket*>(askers[i].bucket), shard.view, i);
                            shard.mu.Unlock();
                          }
                        };
  each(round.token_askers_, tokens != nullptr ? tokens->size() : 0,
       [&](Bucket& bucket, const SharingView& /*view*/, std::size_t i) {
         bucket.rate->Answer(now, round.tokens[i].want, (*tokens)[i]);
       });
  each(round.permit_askers_, permits != nullptr ? permits->size() : 0,
       [&](Bucket& bucket, const SharingView& view, std::size_t i) {
         if (bucket.rate != nullptr) {
           bucket.rate->Announced((*permits)[i].held, (*permits)[i], view);
         } else {
           bucket.permits->Answer((*permits)[i], view);
         }
       });
}

void Limiter::SetView(const SharingView& view) NO_THREAD_SAFETY_ANALYSIS {
  for (Shard& shard : *shards_) {
    LockSoon(shard.mu);
    shard.view = view;
    shard.mu.Unlock();
  }
}

void LimitTicket::Swap(LimitTicket& other) noexcept {
  std::swap(limiter_, other.limiter_);
  rules_.swap(other.rules_);
  held_.swap(other.held_);
  std::swap(requests_, other.requests_);
  std::swap(cost_ms_, other.cost_ms_);
  std::swap(running_, other.running_);
}

void LimitTicket::Settle(double measured_ms) {
  if (held_.empty() || !std::isfinite(measured_ms) || measured_ms < 0) return;
  limiter_->Adjust(*this, 0, measured_ms - cost_ms_, 0);
  cost_ms_ = measured_ms;
}

void LimitTicket::Refund() {
  if (held_.empty()) return;
  limiter_->Adjust(*this, -requests_, -cost_ms_, 0);
  requests_ = 0;
  cost_ms_ = 0;
}

void LimitTicket::Release() {
  if (held_.empty()) return;
  limiter_->Adjust(*this, 0, 0, -running_);
  held_.clear();
}

}  // namespace mezzo::tenancy
