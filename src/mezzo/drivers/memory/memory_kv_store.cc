#include "mezzo/drivers/memory/memory_kv_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/storage/kv_checks.h"

namespace mezzo::drivers {

using storage::CheckKvContext;
using storage::CheckKvKey;
using storage::CheckKvKeys;
using storage::CheckKvValue;
using storage::KvLifetime;

MemoryKvStore::MemoryKvStore(const Options& options, const Clock& clock)
    : options_(options), clock_(clock), notifier_(options.max_notifications, "kv-notify") {}

void MemoryKvStore::Remove(Entries::iterator entry) {
  bytes_ -= entry->key.size() + entry->value.size();
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

void MemoryKvStore::Remove(Leases::iterator lease) {
  lease_ends_.erase(lease->second.end);
  leases_.erase(lease);
}

void MemoryKvStore::Store(std::string key, std::string value, Duration lifetime) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) Remove(found->second);
  bytes_ += key.size() + value.size();
  entries_.push_front({std::move(key), std::move(value), clock_.Now() + KvLifetime(lifetime)});
  by_key_.emplace(entries_.front().key, entries_.begin());
  while (!entries_.empty() && (bytes_ > options_.max_bytes || entries_.size() > options_.max_entries)) {
    Remove(std::prev(entries_.end()));
  }
}

bool MemoryKvStore::Has(const std::string& lease_key, std::uint64_t fence) {
  const auto found = leases_.find(lease_key);
  return found != leases_.end() && found->second.fence == fence && found->second.end->first > clock_.Now();
}

bool MemoryKvStore::GiveBack(const std::string& lease_key, std::uint64_t fence) {
  if (!Has(lease_key, fence)) return false;
  Remove(leases_.find(lease_key));
  return true;
}

runtime::Task<Result<std::vector<std::optional<std::string>>>> MemoryKvStore::Get(
    runtime::Context ctx, std::vector<std::string> keys) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, now));
  MEZZO_CO_TRY_VOID(CheckKvKeys(keys));
  std::vector<std::optional<std::string>> values(keys.size());
  MutexLock lock(mu_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto found = by_key_.find(keys[i]);
    if (found == by_key_.end()) continue;
    const Entries::iterator entry = found->second;
    if (entry->ends <= now) {
      Remove(entry);
    } else {
      values[i] = entry->value;
      entries_.splice(entries_.begin(), entries_, entry);
    }
  }
  co_return values;
}

runtime::Task<Result<void>> MemoryKvStore::Set(runtime::Context ctx, std::string key, std::string value,
                                               Duration lifetime) {
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, clock_.Now()));
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvValue(value.size(), options_.max_value_bytes));
  MutexLock lock(mu_);
  Store(std::move(key), std::move(value), lifetime);
  co_return Result<void>();
}

runtime::Task<Result<std::int64_t>> MemoryKvStore::Erase(runtime::Context ctx,
                                                         std::vector<std::string> keys) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, now));
  MEZZO_CO_TRY_VOID(CheckKvKeys(keys));
  std::int64_t erased = 0;
  MutexLock lock(mu_);
  for (const std::string& key : keys) {
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      erased += found->second->ends > now ? 1 : 0;
      Remove(found->second);
    }
  }
  co_return erased;
}

runtime::Task<Result<storage::KvStore::Lease>> MemoryKvStore::Acquire(runtime::Context ctx, std::string key,
                                                                      std::string owner, Duration lifetime) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, now));
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvKey(owner));
  lifetime = KvLifetime(lifetime);
  MutexLock lock(mu_);
  const auto found = leases_.find(key);
  if (found != leases_.end() && found->second.end->first > now && found->second.owner != owner) {
    co_return Lease{.held = false, .fence = found->second.fence, .left = found->second.end->first - now};
  }
  std::uint64_t fence = 0;
  if (found != leases_.end()) {
    if (found->second.end->first > now) fence = found->second.fence;  // Its owner keeps it.
    Remove(found);
  }
  // By the wall clock where it can be: fences grow over a restart as well.
  if (fence == 0) {
    const auto wall =
        std::chrono::duration_cast<std::chrono::microseconds>(clock_.WallNow().time_since_epoch());
    fence = last_fence_ =
        std::max(last_fence_ + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(wall.count(), 1)));
  }
  if (leases_.size() >= options_.max_leases) Remove(leases_.find(lease_ends_.begin()->second));
  const auto end = lease_ends_.emplace(now + lifetime, key);
  leases_.emplace(std::move(key), Held{.owner = std::move(owner), .fence = fence, .end = end});
  co_return Lease{.held = true, .fence = fence, .left = lifetime};
}

runtime::Task<Result<bool>> MemoryKvStore::SetAndRelease(runtime::Context ctx, std::string key,
                                                         std::string value, Duration lifetime,
                                                         std::string lease_key, std::uint64_t fence) {
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, clock_.Now()));
  MEZZO_CO_TRY_VOID(CheckKvKey(key));
  MEZZO_CO_TRY_VOID(CheckKvKey(lease_key));
  MEZZO_CO_TRY_VOID(CheckKvValue(value.size(), options_.max_value_bytes));
  MutexLock lock(mu_);
  if (!GiveBack(lease_key, fence)) co_return false;
  Store(std::move(key), std::move(value), lifetime);
  co_return true;
}

runtime::Task<Result<bool>> MemoryKvStore::Release(runtime::Context ctx, std::string lease_key,
                                                   std::uint64_t fence) {
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, clock_.Now()));
  MEZZO_CO_TRY_VOID(CheckKvKey(lease_key));
  MutexLock lock(mu_);
  co_return GiveBack(lease_key, fence);
}

runtime::Task<Result<void>> MemoryKvStore::Publish(runtime::Context ctx, std::string channel,
                                                   std::string payload) {
  MEZZO_CO_TRY_VOID(CheckKvContext(ctx, clock_.Now()));
  MEZZO_CO_TRY_VOID(CheckKvKey(channel));
  MEZZO_CO_TRY_VOID(CheckKvValue(payload.size(), options_.max_value_bytes));
  std::vector<storage::Notification> one;
  one.push_back({std::move(channel), std::move(payload)});
  notifier_.Publish(std::move(one));
  co_return Result<void>();
}

std::shared_ptr<void> MemoryKvStore::Subscribe(std::string channel, Listener listener) {
  MEZZO_CHECK(storage::IsKvKey(channel));
  return notifier_.Listen(std::move(channel), std::move(listener));
}

void MemoryKvStore::Clear() {
  MutexLock lock(mu_);
  by_key_.clear();
  entries_.clear();
  bytes_ = 0;
  leases_.clear();
  lease_ends_.clear();
}

std::size_t MemoryKvStore::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

std::size_t MemoryKvStore::entries() const {
  MutexLock lock(mu_);
  return entries_.size();
}

}  // namespace mezzo::drivers
