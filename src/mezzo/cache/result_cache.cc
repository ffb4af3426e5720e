#include "mezzo/cache/result_cache.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/cache/internal/entry.h"
#include "mezzo/cache/internal/flights.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::cache {
namespace {

using internal::CachedModel;
using internal::Entry;
using internal::Flight;
using internal::FlightShard;

/// Refreshes may come this much faster than entries expire.
constexpr double kRefreshPace = 1.15;
/// Refreshes that may come at once: this many, and what the pace makes in this time.
constexpr double kRefreshBurst = 16;
constexpr double kRefreshBurstSeconds = 0.1;
/// XFetch draws no number when the chance of a refresh is below e to the power of minus this.
constexpr double kHopeless = 30;

void Count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

void CountSaved(CachedModel& model, Duration cost) {
  model.saved.fetch_add(cost.count(), std::memory_order_relaxed);
}

bool Keeps(const Rules& rules) { return rules.ttl > Duration::zero() && !rules.single_flight_only; }

/// The failure says something of the leader, not of the question.
bool IsLeadersOwn(Code code) {
  return code == Code::kCancelled || code == Code::kDeadlineExceeded || code == Code::kAborted ||
         code == Code::kResourceExhausted || code == Code::kPermissionDenied ||
         code == Code::kUnauthenticated;
}

/// Whether a refresh fits the pace of 1.15 times the model's average rate of expiries (GCRA; entries / ttl).
bool TakeRefresh(CachedModel& model, Duration ttl, TimePoint now) {
  const auto entries =
      static_cast<double>(std::max<std::uint64_t>(model.entries.load(std::memory_order_relaxed), 1));
  const double interval = Seconds(ttl) / (kRefreshPace * entries);
  const std::int64_t step = FromSeconds(interval).count();
  const std::int64_t slack = FromSeconds(kRefreshBurst * interval + kRefreshBurstSeconds).count();
  const std::int64_t time = now.time_since_epoch().count();
  std::int64_t due = model.next_refresh.load(std::memory_order_relaxed);
  while (due - time <= slack) {
    const std::int64_t next = std::max(due, time) + step;
    if (model.next_refresh.compare_exchange_weak(due, next, std::memory_order_relaxed)) return true;
  }
  return false;
}

/// A leader was answered by another host.
void CountShared(CachedModel& model, Duration cost) {
  Count(model.shared);
  CountSaved(model, cost);
}

}  // namespace

bool WouldComeAgain(Code code) {
  return code == Code::kInvalidArgument || code == Code::kOutOfRange || code == Code::kUnimplemented;
}

struct ResultCache::Models {
  std::map<std::string, ModelRef, std::less<>> by_name;
};

ResultCache::ResultCache(Options options, MemoryTier& tier, const Clock& clock)
    : options_(options),
      tier_(tier),
      clock_(clock),
      flights_(std::make_unique<internal::Flights>(options.max_flights)),
      models_(std::make_unique<Models>()) {}

ResultCache::~ResultCache() { MEZZO_CHECK(flights_->size() == 0); }

ResultCache::ModelRef ResultCache::Model(std::string_view name) {
  const MutexLock lock(mu_);
  const auto it = models_->by_name.find(name);
  if (it != models_->by_name.end()) return it->second;
  if (models_->by_name.size() >= options_.max_models) return nullptr;
  auto model = std::make_shared<CachedModel>(std::string(name));
  models_->by_name.emplace(std::string(name), model);
  return model;
}

ResultCache::ModelRef ResultCache::Find(std::string_view name) const {
  const MutexLock lock(mu_);
  const auto found = models_->by_name.find(name);
  return found == models_->by_name.end() ? nullptr : found->second;
}

std::optional<ResultCache::Outcome> ResultCache::Look(const CachedModel& model, const CacheKey& key,
                                                      TimePoint now, bool counts,
                                                      std::shared_ptr<const Entry>& entry) const {
  std::optional<MemoryTier::Item> item = tier_.Get(key, counts);
  if (!item.has_value()) return std::nullopt;
  entry = std::dynamic_pointer_cast<const Entry>(item->value);
  if (entry == nullptr || entry->facts().model.get() != &model) return std::nullopt;
  if (item->stamp != model.epoch.load(std::memory_order_seq_cst)) {
    tier_.EraseExactly(key, item->value.get());
    return std::nullopt;
  }
  const Entry::Facts& facts = entry->facts();
  Outcome outcome;
  outcome.kind = now < facts.fresh_until ? Kind::kHit : Kind::kStale;
  outcome.value = facts.value;
  outcome.error = facts.error;
  outcome.age = std::max(now - facts.filled, Duration::zero());
  return outcome;
}

ResultCache::Outcome ResultCache::Begin(const ModelRef& model, const CacheKey& key, const Rules& rules,
                                        TimePoint now) {
  Outcome outcome;
  if (model == nullptr) return outcome;
  if (!trusted()) {
    Count(model->bypasses);
    return outcome;
  }
  std::shared_ptr<const Entry> entry;
  if (Keeps(rules)) {
    if (auto found = Look(*model, key, now, true, entry); found.has_value()) {
      CountHit(*model, *entry, *found);
      OfferRefresh(model, key, rules, entry, now, *found);
      return std::move(*found);
    }
  }
  FlightShard& shard = flights_->ShardOf(key);
  const MutexLock lock(shard.mu);
  const std::uint64_t epoch = EpochOf(model);
  internal::FlightRef flight = internal::Flights::Find(shard, key);
  if (flight != nullptr && flight->key != key) {
    Count(model->bypasses);
    return outcome;
  }
  const bool current = flight != nullptr && flight->epoch == epoch;
  if (current && flight->state == Flight::State::kRunning) {
    if (flight->followers >= options_.max_followers) {
      Count(model->bypasses);
      return outcome;
    }
    ++flight->followers;
    Count(model->joins);
    outcome.kind = Kind::kJoin;
    outcome.follower = Follower(*this, std::move(flight), model, key, rules);
    return outcome;
  }
  if (current) {  // Its leader has gone, and none of its followers has taken the lead yet.
    flight->state = Flight::State::kRunning;
  } else {
    // Whoever led a moment ago put the result before the flight left the table.
    if (auto found = Keeps(rules) ? Look(*model, key, now, false, entry) : std::nullopt; found.has_value()) {
      CountHit(*model, *entry, *found);
      return std::move(*found);
    }
    flight = flights_->Add(shard, key, epoch);
    if (flight == nullptr) {
      Count(model->bypasses);
      return outcome;
    }
  }
  Count(model->misses);
  outcome.kind = Kind::kLead;
  outcome.ticket = Ticket(*this, std::move(flight), model, key, rules, epoch);
  return outcome;
}

void ResultCache::CountHit(CachedModel& model, const Entry& entry, const Outcome& outcome) {
  Count(model.hits);
  if (outcome.kind == Kind::kStale) Count(model.stale);
  if (outcome.error.has_value()) Count(model.negative);
  CountSaved(model, entry.facts().cost);
}

void ResultCache::OfferRefresh(const ModelRef& model, const CacheKey& key, const Rules& rules,
                               const std::shared_ptr<const Entry>& entry, TimePoint now, Outcome& outcome) {
  const Entry::Facts& facts = entry->facts();
  if (outcome.kind == Kind::kHit) {
    const double scale = Seconds(facts.cost) * options_.beta;
    const double left = Seconds(facts.fresh_until - now);
    if (scale <= 0 || left > kHopeless * scale || left > -std::log(NextUniform()) * scale) return;
  }
  FlightShard& shard = flights_->ShardOf(key);
  const MutexLock lock(shard.mu);
  const std::uint64_t epoch = EpochOf(model);
  internal::FlightRef flight = internal::Flights::Find(shard, key);
  const bool vacant = flight != nullptr && flight->state == Flight::State::kVacant &&
                      flight->epoch == epoch && flight->key == key;
  if (flight != nullptr && !vacant) return;
  // Somebody else's refresh may have ended since this caller looked.
  std::shared_ptr<const Entry> newest;
  if (!Look(*model, key, now, false, newest).has_value() || newest != entry) return;
  if (!TakeRefresh(*model, facts.ttl, now)) return;
  if (vacant) {
    flight->state = Flight::State::kRunning;
  } else {
    flight = flights_->Add(shard, key, epoch);
    if (flight == nullptr) return;
  }
  Count(model->refreshes);
  outcome.ticket = Ticket(*this, std::move(flight), model, key, rules, epoch);
}

runtime::Task<Result<ResultCache::Outcome>> ResultCache::Follow(runtime::Context ctx, Follower follower) {
  // A local goes when the coroutine ends, a parameter only when its caller has dropped the frame.
  Follower place = std::move(follower);
  const internal::FlightRef flight = place.flight_;
  while (true) {
    // A context of its own: cancelled by whatever ends the wait first, the flight or the caller.
    const runtime::Context wake;
    std::list<runtime::Context>::iterator waiting;
    if (auto end = Enlist(place, wake, waiting); end.has_value()) co_return std::move(*end);
    Result<void> slept;
    {
      runtime::Callback forward = [wake] { wake.Cancel(); };
      const runtime::CancelRegistration registration(ctx.cancel_state(), std::move(forward));
      slept = co_await runtime::SleepUntil(wake, ctx.deadline());
    }
    Delist(*flight, waiting);
    // A caller that is out of time leaves the lead to the next.
    const bool may_lead = !ctx.cancelled() && !slept.ok();
    if (auto end = EndOf(place, may_lead); end.has_value()) co_return std::move(*end);
    if (ctx.cancelled()) {
      co_return Cancelled("cancelled", "the call was cancelled while another computed its result");
    }
    if (slept.ok()) {
      co_return DeadlineExceeded("deadline", "the call's deadline passed while another computed its result");
    }
  }
}

std::optional<Result<ResultCache::Outcome>> ResultCache::Enlist(
    Follower& follower, const runtime::Context& wake, std::list<runtime::Context>::iterator& place) {
  Flight& flight = *follower.flight_;
  const MutexLock lock(flight.shard.mu);
  if (auto end = EndLocked(follower, true); end.has_value()) return end;
  place = flight.waiting.insert(flight.waiting.end(), wake);
  return std::nullopt;
}

void ResultCache::Delist(Flight& flight, std::list<runtime::Context>::iterator place) {
  const MutexLock lock(flight.shard.mu);
  // Who ended the flight took the whole list.
  if (flight.state != Flight::State::kDone) flight.waiting.erase(place);
}

std::optional<Result<ResultCache::Outcome>> ResultCache::EndOf(Follower& follower, bool may_lead) {
  const MutexLock lock(follower.flight_->shard.mu);
  return EndLocked(follower, may_lead);
}

std::optional<Result<ResultCache::Outcome>> ResultCache::EndLocked(Follower& follower, bool may_lead) {
  Flight& flight = *follower.flight_;
  if (flight.state == Flight::State::kRunning) return std::nullopt;
  if (flight.state == Flight::State::kVacant && !may_lead) return std::nullopt;
  Outcome outcome;
  CachedModel& model = *follower.model_;
  if (flight.state == Flight::State::kVacant) {
    flight.state = Flight::State::kRunning;
    flight.epoch = EpochOf(follower.model_);
    Count(model.misses);
    outcome.kind = Kind::kLead;
    outcome.ticket =
        Ticket(*this, follower.flight_, follower.model_, follower.key_, follower.rules_, flight.epoch);
    return Result<Outcome>(std::move(outcome));
  }
  CountSaved(model, flight.cost);
  if (flight.error.has_value()) return Result<Outcome>(*flight.error);
  outcome.kind = Kind::kJoin;
  outcome.value = flight.value;
  return Result<Outcome>(std::move(outcome));
}

void ResultCache::Complete(Flight& flight, const ModelRef& model, const CacheKey& key, const Rules& rules,
                           Finding finding) {
  std::list<runtime::Context> waiting;
  {
    const MutexLock lock(flight.shard.mu);
    if (!flight.replaced) Keep(model, key, rules, finding);
    flight.value = std::move(finding.value);
    flight.error = std::move(finding.error);
    flight.cost = finding.cost;
    flight.state = Flight::State::kDone;
    waiting.swap(flight.waiting);
    flights_->Remove(flight.shard, flight);
  }
  for (const runtime::Context& wake : waiting) wake.Cancel();
}

void ResultCache::PassLead(Flight& flight) {
  std::optional<runtime::Context> next;
  {
    const MutexLock lock(flight.shard.mu);
    next = flights_->Vacate(flight.shard, flight);
  }
  if (next.has_value()) next->Cancel();
}

void ResultCache::Leave(Flight& flight) {
  std::optional<runtime::Context> next;
  {
    const MutexLock lock(flight.shard.mu);
    --flight.followers;
    // It may have been the one that was woken to lead.
    if (flight.state == Flight::State::kVacant) next = flights_->Vacate(flight.shard, flight);
  }
  if (next.has_value()) next->Cancel();
}

bool ResultCache::Keep(const ModelRef& model, const CacheKey& key, const Rules& rules,
                       const Finding& finding) {
  const bool negative = finding.error.has_value();
  const Duration ttl = negative ? rules.negative_ttl : rules.ttl;
  if (!Keeps(rules) || ttl <= Duration::zero()) return false;
  if (!negative && finding.value->bytes() > rules.max_entry_bytes) return false;
  if (finding.epoch != EpochOf(model)) {
    Count(model->outdated);
    return false;
  }
  const TimePoint now = clock_.Now();
  const double factor = 1 + options_.jitter * (2 * NextUniform() - 1);
  const TimePoint fresh_until = std::min(now + FromSeconds(Seconds(ttl) * factor), finding.limit);
  const auto entry = std::make_shared<Entry>(Entry::Facts{.model = model,
                                                          .value = finding.value,
                                                          .error = finding.error,
                                                          .cost = finding.cost,
                                                          .filled = now,
                                                          .fresh_until = fresh_until,
                                                          .ttl = ttl,
                                                          .key_bytes = key.text().size()});
  const TimePoint expires = negative ? fresh_until : AddSaturating(fresh_until, rules.stale_for);
  if (!tier_.Put(key, {.value = entry, .expires = expires, .stamp = finding.epoch})) return false;
  Count(model->fills);
  return true;
}

bool ResultCache::Replace(const ModelRef& model, const CacheKey& key, const Rules& rules, CachedRef value,
                          Duration cost, std::uint64_t epoch) {
  if (model == nullptr || value == nullptr) return false;
  FlightShard& shard = flights_->ShardOf(key);
  const MutexLock lock(shard.mu);
  if (const internal::FlightRef flight = internal::Flights::Find(shard, key); flight != nullptr) {
    flight->replaced = true;
    flights_->Remove(shard, *flight);
  }
  const bool kept =
      Keep(model, key, rules,
           {.value = std::move(value), .cost = cost, .epoch = epoch != 0 ? epoch : EpochOf(model)});
  if (!kept) tier_.Erase(key);
  return kept;
}

std::uint64_t ResultCache::EpochOf(const ModelRef& model) {
  return model->epoch.load(std::memory_order_seq_cst);
}

std::uint64_t ResultCache::RaiseEpoch(const ModelRef& model, std::uint64_t at_least) {
  std::uint64_t epoch = EpochOf(model);
  std::uint64_t next = 0;
  do {
    next = std::max(epoch + 1, at_least);
  } while (!model->epoch.compare_exchange_weak(epoch, next, std::memory_order_seq_cst));
  return next;
}

bool ResultCache::LearnEpoch(const ModelRef& model, std::uint64_t epoch) {
  std::uint64_t known = EpochOf(model);
  while (known < epoch) {
    if (model->epoch.compare_exchange_weak(known, epoch, std::memory_order_seq_cst)) return true;
  }
  return false;
}

std::size_t ResultCache::Purge(const ModelRef& model) {
  RaiseEpoch(model);
  return tier_.EraseIf([&model](const CacheKey&, const MemoryTier::Item& item) {
    const auto* entry = dynamic_cast<const Entry*>(item.value.get());
    return entry != nullptr && entry->facts().model == model && item.stamp < EpochOf(model);
  });
}

std::size_t ResultCache::PurgeAll() {
  {
    const MutexLock lock(mu_);
    for (const auto& [name, model] : models_->by_name) RaiseEpoch(model);
  }
  return tier_.EraseIf([](const CacheKey&, const MemoryTier::Item& item) {
    const auto* entry = dynamic_cast<const Entry*>(item.value.get());
    return entry != nullptr && item.stamp < EpochOf(entry->facts().model);
  });
}

ResultCache::ModelStatistics ResultCache::StatisticsOf(const ModelRef& model) const {
  const auto read = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  return {.model = model->name,
          .epoch = EpochOf(model),
          .hits = read(model->hits),
          .stale = read(model->stale),
          .negative = read(model->negative),
          .misses = read(model->misses),
          .shared = read(model->shared),
          .joins = read(model->joins),
          .bypasses = read(model->bypasses),
          .refreshes = read(model->refreshes),
          .fills = read(model->fills),
          .outdated = read(model->outdated),
          .entries = read(model->entries),
          .bytes = read(model->bytes),
          .saved = Duration(model->saved.load(std::memory_order_relaxed))};
}

std::vector<ResultCache::ModelStatistics> ResultCache::statistics() const {
  std::vector<ModelStatistics> all;
  const MutexLock lock(mu_);
  all.reserve(models_->by_name.size());
  for (const auto& [name, model] : models_->by_name) all.push_back(StatisticsOf(model));
  return all;
}

std::size_t ResultCache::flights() const { return flights_->size(); }

double ResultCache::NextUniform() {
  // SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014); in (0, 1], so that its logarithm exists.
  std::uint64_t x =
      options_.seed + (draws_.fetch_add(1, std::memory_order_relaxed) + 1) * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  return static_cast<double>((x >> 11) + 1) * 0x1.0p-53;
}

ResultCache::Ticket::Ticket(ResultCache& cache, std::shared_ptr<Flight> flight, ModelRef model, CacheKey key,
                            const Rules& rules, std::uint64_t epoch)
    : cache_(&cache),
      flight_(std::move(flight)),
      model_(std::move(model)),
      key_(std::move(key)),
      rules_(rules),
      epoch_(epoch) {}

ResultCache::Ticket::Ticket(Ticket&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      flight_(std::move(other.flight_)),
      model_(std::move(other.model_)),
      key_(std::move(other.key_)),
      rules_(other.rules_),
      epoch_(other.epoch_) {}

ResultCache::Ticket& ResultCache::Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  if (cache_ != nullptr) cache_->PassLead(*flight_);
  cache_ = std::exchange(other.cache_, nullptr);
  flight_ = std::move(other.flight_);
  model_ = std::move(other.model_);
  key_ = std::move(other.key_);
  rules_ = other.rules_;
  epoch_ = other.epoch_;
  return *this;
}

ResultCache::Ticket::~Ticket() {
  if (cache_ != nullptr) cache_->PassLead(*flight_);
}

void ResultCache::Ticket::Fill(CachedRef value, Duration cost, TimePoint expires) {
  MEZZO_CHECK(cache_ != nullptr && value != nullptr);
  if (expires != kNever) CountShared(*model_, cost);
  std::exchange(cache_, nullptr)
      ->Complete(*flight_, model_, key_, rules_,
                 {.value = std::move(value), .cost = cost, .epoch = epoch_, .limit = expires});
}

void ResultCache::Ticket::Fail(const Error& error, Duration cost, TimePoint expires) {
  MEZZO_CHECK(cache_ != nullptr);
  if (expires != kNever) CountShared(*model_, cost);
  ResultCache* cache = std::exchange(cache_, nullptr);
  if (IsLeadersOwn(error.code())) return cache->PassLead(*flight_);
  // What would not come again is told to those who wait, and not kept.
  if (!WouldComeAgain(error.code())) rules_.negative_ttl = Duration::zero();
  cache->Complete(*flight_, model_, key_, rules_,
                  {.error = error, .cost = cost, .epoch = epoch_, .limit = expires});
}

ResultCache::Follower::Follower(ResultCache& cache, std::shared_ptr<Flight> flight, ModelRef model,
                                CacheKey key, const Rules& rules)
    : cache_(&cache),
      flight_(std::move(flight)),
      model_(std::move(model)),
      key_(std::move(key)),
      rules_(rules) {}

ResultCache::Follower::Follower(Follower&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      flight_(std::move(other.flight_)),
      model_(std::move(other.model_)),
      key_(std::move(other.key_)),
      rules_(other.rules_) {}

ResultCache::Follower& ResultCache::Follower::operator=(Follower&& other) noexcept {
  if (this == &other) return *this;
  if (cache_ != nullptr) cache_->Leave(*flight_);
  cache_ = std::exchange(other.cache_, nullptr);
  flight_ = std::move(other.flight_);
  model_ = std::move(other.model_);
  key_ = std::move(other.key_);
  rules_ = other.rules_;
  return *this;
}

ResultCache::Follower::~Follower() {
  if (cache_ != nullptr) cache_->Leave(*flight_);
}

}  // namespace mezzo::cache
