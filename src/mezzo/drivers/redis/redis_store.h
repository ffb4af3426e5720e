#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/kv_store.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::drivers {

namespace internal {
class RedisClient;
class RedisSubscriber;
}  // namespace internal

/// A KvStore and a TokenStore on a Redis (6 or newer) that hosts share. Thread-safe.
///
/// Calls travel together on a few connections, with a thread of the store; listeners run on another one.
/// While Redis is away calls fail in microseconds ("kv_unavailable"), and the store connects again by itself.
/// Every script touches only the keys of its call, but these may lie apart: not for Redis Cluster.
class RedisStore final : public storage::KvStore, public storage::TokenStore {
 public:
  struct Options {
    std::string url;                ///< redis://[[user]:password@]host[:port][/database]
    std::string prefix = "mezzo:";  ///< Before every key and channel; as keys are, or empty.
    std::size_t connections = 2;    ///< And one more while anybody listens.
    Duration connect_timeout = std::chrono::seconds(1);
    Duration command_timeout = std::chrono::milliseconds(250);
    std::size_t max_commands = 4096;                ///< That wait or are in flight.
    std::size_t max_value_bytes = 8U << 20;         ///< "kv_too_large" beyond it.
    Duration ping_every = std::chrono::seconds(5);  ///< Of silence where we listen.
  };
  /// Fails as Open() would, without connecting: kInvalidArgument "kv_bad_url", or "kv_bad_key" for the
  /// prefix; no message holds any part of the URL.
  static Result<void> Check(const Options& options);
  /// Begins to connect, and does not wait for it. `clock` must be real and outlive the store.
  static Result<std::unique_ptr<RedisStore>> Open(const Options& options, const Clock& clock);
  /// No call may begin any more; those that run fail with "kv_unavailable".
  ~RedisStore() override;

  runtime::Task<Result<std::vector<std::optional<std::string>>>> Get(runtime::Context ctx,
                                                                     std::vector<std::string> keys) override;
  runtime::Task<Result<void>> Set(runtime::Context ctx, std::string key, std::string value,
                                  Duration lifetime) override;
  runtime::Task<Result<std::int64_t>> Erase(runtime::Context ctx, std::vector<std::string> keys) override;
  runtime::Task<Result<Lease>> Acquire(runtime::Context ctx, std::string key, std::string owner,
                                       Duration lifetime) override;
  runtime::Task<Result<bool>> SetAndRelease(runtime::Context ctx, std::string key, std::string value,
                                            Duration lifetime, std::string lease_key,
                                            std::uint64_t fence) override;
  runtime::Task<Result<bool>> Release(runtime::Context ctx, std::string lease_key,
                                      std::uint64_t fence) override;
  runtime::Task<Result<void>> Publish(runtime::Context ctx, std::string channel,
                                      std::string payload) override;
  [[nodiscard]] std::shared_ptr<void> Subscribe(std::string channel, Listener listener) override;

  runtime::Task<Result<std::vector<TokenGrant>>> TakeTokens(runtime::Context ctx,
                                                            std::vector<TokenRequest> requests) override;
  runtime::Task<Result<std::vector<PermitGrant>>> HoldPermits(runtime::Context ctx,
                                                              std::vector<PermitRequest> requests,
                                                              Duration lifetime) override;

  /// Whether calls would be sent to Redis now, rather than be refused.
  [[nodiscard]] bool healthy() const;
  /// Connections made so far, without those that listen.
  [[nodiscard]] std::uint64_t connects() const;

 private:
  RedisStore(Options options, std::unique_ptr<internal::RedisClient> client,
             std::unique_ptr<internal::RedisSubscriber> subscriber);
  [[nodiscard]] std::string Named(const std::string& key) const { return options_.prefix + key; }
  runtime::Task<Result<bool>> CallYesNo(runtime::Context ctx, std::size_t script,
                                        std::vector<std::string> words);
  /// Answers that are a list of so many numbers.
  runtime::Task<Result<std::vector<std::int64_t>>> CallNumbers(runtime::Context ctx, std::size_t script,
                                                               std::vector<std::string> words,
                                                               std::size_t count);

  const Options options_;
  const std::unique_ptr<internal::RedisClient> client_;
  const std::unique_ptr<internal::RedisSubscriber> subscriber_;
};

}  // namespace mezzo::drivers
