#include "mezzo/drivers/memory/memory_token_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mezzo/storage/gcra.h"
#include "mezzo/storage/kv_checks.h"

namespace mezzo::drivers {
namespace {

std::int64_t Microseconds(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

}  // namespace

template <typename T>
T* MemoryTokenStore::Table<T>::Find(const std::string& key) {
  const auto found = by_key.find(key);
  return found == by_key.end() ? nullptr : &found->second.value;
}

template <typename T>
void MemoryTokenStore::Table<T>::Put(const std::string& key, T value, std::int64_t end,
                                     std::size_t max_keys) {
  Remove(key);
  if (by_key.size() >= max_keys && !ends.empty()) Remove(std::string(ends.begin()->second));
  const auto place = ends.emplace(end, key);
  by_key.emplace(key, Kept<T>{.value = std::move(value), .end = place});
}

template <typename T>
void MemoryTokenStore::Table<T>::Remove(const std::string& key) {
  const auto found = by_key.find(key);
  if (found == by_key.end()) return;
  ends.erase(found->second.end);
  by_key.erase(found);
}

template <typename T>
void MemoryTokenStore::Table<T>::RemoveUntil(std::int64_t now) {
  while (!ends.empty() && ends.begin()->first <= now) Remove(std::string(ends.begin()->second));
}

storage::TokenStore::TokenGrant MemoryTokenStore::Take(const TokenRequest& request, std::int64_t now) {
  const auto limit = storage::GcraLimit::Of(request.per_second, request.burst);
  const double* full_at = buckets_.Find(request.key);
  const auto outcome = limit.Take(full_at == nullptr ? 0 : *full_at, static_cast<double>(now), request.want);
  const auto ends = static_cast<std::int64_t>(outcome.full_at);
  if (ends <= now) {
    buckets_.Remove(request.key);
  } else {
    buckets_.Put(request.key, outcome.full_at, ends, options_.max_keys);
  }
  return {.granted = outcome.granted, .left = outcome.left, .full_in = std::chrono::microseconds(ends - now)};
}

runtime::Task<Result<std::vector<storage::TokenStore::TokenGrant>>> MemoryTokenStore::TakeTokens(
    runtime::Context ctx, std::vector<TokenRequest> requests) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(storage::CheckKvContext(ctx, now));
  MEZZO_CO_TRY_VOID(storage::CheckTokenRequests(requests));
  std::vector<TokenGrant> grants;
  grants.reserve(requests.size());
  MutexLock lock(mu_);
  buckets_.RemoveUntil(Microseconds(now));
  for (const TokenRequest& request : requests) grants.push_back(Take(request, Microseconds(now)));
  co_return grants;
}

storage::TokenStore::PermitGrant MemoryTokenStore::Hold(const PermitRequest& request, TimePoint now,
                                                        Duration lifetime) {
  Hosts hosts;
  if (Hosts* known = permits_.Find(request.key); known != nullptr) hosts = std::move(*known);
  std::erase_if(hosts, [&](const auto& host) { return host.second.ends <= now; });
  std::int64_t others = 0;
  std::int64_t own = 0;
  for (const auto& [host, permits] : hosts) (host == request.host ? own : others) += permits.held;
  const std::int64_t room = std::max<std::int64_t>(request.limit - others, 0);
  const std::int64_t held = std::min(request.hold, std::max(own, room));
  if (held > 0) {
    hosts[request.host] = {.held = held, .ends = now + lifetime};
  } else {
    hosts.erase(request.host);
  }
  if (hosts.empty()) {
    permits_.Remove(request.key);
  } else {
    TimePoint last{};
    for (const auto& [host, permits] : hosts) last = std::max(last, permits.ends);
    permits_.Put(request.key, std::move(hosts), Microseconds(last), options_.max_keys);
  }
  return {.held = held, .free = std::max<std::int64_t>(request.limit - others - held, 0)};
}

runtime::Task<Result<std::vector<storage::TokenStore::PermitGrant>>> MemoryTokenStore::HoldPermits(
    runtime::Context ctx, std::vector<PermitRequest> requests, Duration lifetime) {
  const TimePoint now = clock_.Now();
  MEZZO_CO_TRY_VOID(storage::CheckKvContext(ctx, now));
  MEZZO_CO_TRY_VOID(storage::CheckPermitRequests(requests));
  lifetime = storage::KvLifetime(lifetime);
  std::vector<PermitGrant> grants;
  grants.reserve(requests.size());
  MutexLock lock(mu_);
  permits_.RemoveUntil(Microseconds(now));
  for (const PermitRequest& request : requests) grants.push_back(Hold(request, now, lifetime));
  co_return grants;
}

void MemoryTokenStore::Clear() {
  MutexLock lock(mu_);
  buckets_ = {};
  permits_ = {};
}

std::size_t MemoryTokenStore::keys() const {
  MutexLock lock(mu_);
  return buckets_.by_key.size() + permits_.by_key.size();
}

}  // namespace mezzo::drivers
