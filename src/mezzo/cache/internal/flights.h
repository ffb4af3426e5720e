#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/cached.h"
#include "mezzo/cache/key.h"
#include "mezzo/runtime/context.h"

namespace mezzo::cache::internal {

struct Flight;

/// The executions under way whose keys begin alike. One mutex, held for microseconds, also while a result is
/// put into the tier: so a caller who finds no flight under the lock finds the result. Lock order:
/// FlightShard::mu, then those of the tier's shards.
struct FlightShard {
  struct KeyHash {
    std::size_t operator()(const CacheKey& key) const { return key.fingerprint()[0]; }
  };

  Mutex mu;
  std::unordered_map<CacheKey, std::shared_ptr<Flight>, KeyHash> table GUARDED_BY(mu);
};

/// One execution and who waits for it: kRunning → kDone, or kRunning → kVacant (its leader went) → kRunning
/// (somebody else leads). A flight leaves the table when it is done, nobody is left, or a newer one takes its
/// place. All but the constants is guarded by the shard's mutex.
struct Flight {
  enum class State : std::uint8_t { kRunning, kVacant, kDone };

  Flight(FlightShard& s, CacheKey k, std::uint64_t e) : shard(s), key(std::move(k)), epoch(e) {}

  FlightShard& shard;
  const CacheKey key;
  std::uint64_t epoch;  ///< When its lead began.
  State state = State::kRunning;
  bool replaced = false;  ///< Somebody put a result meanwhile; this one's is not kept.
  std::size_t followers = 0;
  std::list<runtime::Context> waiting;  ///< Of the followers; cancelled to wake them.
  CachedRef value;
  std::optional<Error> error;
  Duration cost{};
};

using FlightRef = std::shared_ptr<Flight>;

/// All flights of a cache. Thread-safe.
class Flights {
 public:
  explicit Flights(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] FlightShard& ShardOf(const CacheKey& key) {
    return shards_[key.fingerprint()[1] % shards_.size()];
  }
  [[nodiscard]] std::size_t size() const { return count_.load(std::memory_order_relaxed); }

  /// The flight of the key in the table, or null.
  [[nodiscard]] static FlightRef Find(FlightShard& shard, const CacheKey& key) REQUIRES(shard.mu) {
    const auto it = shard.table.find(key);
    return it == shard.table.end() ? nullptr : it->second;
  }
  /// A new flight in the table, in place of an older one; null when there are too many.
  [[nodiscard]] FlightRef Add(FlightShard& shard, const CacheKey& key, std::uint64_t epoch)
      REQUIRES(shard.mu) {
    auto [it, added] = shard.table.try_emplace(key);
    if (added && count_.fetch_add(1, std::memory_order_relaxed) >= limit_) {
      count_.fetch_sub(1, std::memory_order_relaxed);
      shard.table.erase(it);
      return nullptr;
    }
    it->second = std::make_shared<Flight>(shard, key, epoch);
    return it->second;
  }
  /// Takes the flight out of the table if it is still there.
  void Remove(FlightShard& shard, const Flight& flight) REQUIRES(shard.mu) {
    const auto it = shard.table.find(flight.key);
    if (it == shard.table.end() || it->second.get() != &flight) return;
    shard.table.erase(it);
    count_.fetch_sub(1, std::memory_order_relaxed);
  }
  /// After the leader or a follower has gone without a result: the context to cancel, of who should lead now.
  [[nodiscard]] std::optional<runtime::Context> Vacate(FlightShard& shard, Flight& flight)
      REQUIRES(shard.mu) {
    flight.state = Flight::State::kVacant;
    if (flight.followers == 0) Remove(shard, flight);
    if (flight.waiting.empty()) return std::nullopt;
    return flight.waiting.front();
  }

 private:
  const std::size_t limit_;
  std::atomic<std::size_t> count_{0};  // Of all tables, each guarded by its shard; a bound, no partner.
  std::array<FlightShard, 32> shards_;
};

}  // namespace mezzo::cache::internal
