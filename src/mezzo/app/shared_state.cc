#include "mezzo/app/shared_state.h"

#include <utility>

#include "mezzo/drivers/memory/memory_kv_store.h"
#include "mezzo/drivers/memory/memory_token_store.h"
#include "mezzo/drivers/redis/redis_store.h"

namespace mezzo::app {
namespace {

constexpr Duration kWatchPause = std::chrono::milliseconds(500);

drivers::RedisStore::Options OptionsOf(const RedisConfig& config) {
  return {.url = config.url.Reveal(),
          .prefix = config.prefix,
          .connections = config.connections,
          .connect_timeout = config.connect_timeout,
          .command_timeout = config.command_timeout};
}

}  // namespace

Result<void> CheckRedis(const RedisConfig& config) {
  if (config.url.Reveal().empty()) return {};
  const auto checked = drivers::RedisStore::Check(OptionsOf(config));
  if (!checked.ok()) return InvalidArgument("config_invalid_value", "redis: " + checked.error().message());
  return {};
}

SharedState::SharedState(Ports ports)
    : ports_(ports),
      metrics_(ports.registry, ports.clock),
      watch_({.name = "redis-watch"}, ports.clock, [this] { return Watch(); }) {}

SharedState::~SharedState() = default;

void SharedState::Wire(storage::KvStore& kv, storage::TokenStore& tokens) {
  kv_ = std::make_unique<storage::MeteredKvStore>(kv, metrics_);
  tokens_ = std::make_unique<storage::MeteredTokenStore>(tokens, metrics_);
}

Result<std::unique_ptr<SharedState>> SharedState::Open(const RedisConfig& config, Ports ports) {
  MEZZO_TRY_VOID(CheckRedis(config));
  std::unique_ptr<SharedState> made(new SharedState(ports));  // A private constructor.
  if (config.url.Reveal().empty()) {
    made->memory_kv_ =
        std::make_unique<drivers::MemoryKvStore>(drivers::MemoryKvStore::Options{}, ports.clock);
    made->memory_tokens_ =
        std::make_unique<drivers::MemoryTokenStore>(drivers::MemoryTokenStore::Options{}, ports.clock);
    made->Wire(*made->memory_kv_, *made->memory_tokens_);
    return made;
  }
  MEZZO_TRY(made->redis_, drivers::RedisStore::Open(OptionsOf(config), ports.clock));
  made->compressed_ = std::make_unique<storage::CompressedKvStore>(storage::CompressedKvStore::Options{},
                                                                   *made->redis_, made->pool_);
  made->Wire(*made->compressed_, *made->redis_);
  made->check_.emplace(ports.health.NewCheck("redis", observe::HealthKind::kDegraded));
  made->watch_.Start();
  return made;
}

runtime::PeriodicThread::Pause SharedState::Watch() {
  const bool healthy = redis_->healthy();
  if (healthy) {
    check_->Ok();
  } else {
    check_->Fail("Redis can't be reached, or fails too often");
  }
  if (healthy != was_healthy_ && healthy) ports_.log.Info("Redis is back");
  if (healthy != was_healthy_ && !healthy) {
    ports_.log.Warn("Redis is away: this host goes on alone with what it knows");
  }
  was_healthy_ = healthy;
  return {.longest = kWatchPause};
}

}  // namespace mezzo::app
