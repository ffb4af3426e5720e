#pragma once

#include <memory>
#include <optional>

#include "mezzo/app/redis_config.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/storage/compressed_kv_store.h"
#include "mezzo/storage/kv_store.h"
#include "mezzo/storage/metered_kv_store.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::drivers {
class RedisStore;
}  // namespace mezzo::drivers

namespace mezzo::app {

/// Fails with kInvalidArgument "config_invalid_value" when `redis` can't be used; connects to nothing, and
/// shows nothing of the URL. A URL whose secret was not resolved is not checked.
Result<void> CheckRedis(const RedisConfig& config);

/// What hosts share and may lose, wired: Redis when `redis.url` is set, else this process's memory. Metered;
/// what goes to Redis is compressed. The check "redis" of Health tells when Redis is away: degraded, never
/// unready.
class SharedState {
 public:
  /// All outlive the state.
  struct Ports {
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& registry;
    observe::Health& health;
  };
  /// Does not wait for Redis. Fails as CheckRedis() does.
  static Result<std::unique_ptr<SharedState>> Open(const RedisConfig& config, Ports ports);
  /// No call may run.
  ~SharedState();
  SharedState(const SharedState&) = delete;
  SharedState& operator=(const SharedState&) = delete;

  [[nodiscard]] storage::KvStore& kv() { return *kv_; }
  [[nodiscard]] storage::TokenStore& tokens() { return *tokens_; }
  /// Whether other hosts see it too.
  [[nodiscard]] bool is_shared() const { return redis_ != nullptr; }

 private:
  explicit SharedState(Ports ports);
  void Wire(storage::KvStore& kv, storage::TokenStore& tokens);
  runtime::PeriodicThread::Pause Watch();

  const Ports ports_;
  storage::KvMetrics metrics_;
  runtime::BlockingPool pool_{{.name = "kv-pack", .threads = 1, .max_queued = 64}};
  std::unique_ptr<drivers::RedisStore> redis_;
  // Or, without Redis:
  std::unique_ptr<storage::KvStore> memory_kv_;
  std::unique_ptr<storage::TokenStore> memory_tokens_;
  std::unique_ptr<storage::CompressedKvStore> compressed_;
  std::unique_ptr<storage::MeteredKvStore> kv_;
  std::unique_ptr<storage::MeteredTokenStore> tokens_;
  std::optional<observe::HealthCheck> check_;  // With Redis.
  bool was_healthy_ = true;                    // The thread's.
  runtime::PeriodicThread watch_;              // Last: uses everything above.
};

}  // namespace mezzo::app
