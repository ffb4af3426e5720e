#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/drivers/redis/internal/redis_connection.h"
#include "mezzo/runtime/retry.h"
#include "mezzo/storage/listeners.h"

namespace mezzo::drivers::internal {

/// SUBSCRIBE on a connection of its own, with a thread on which the listeners run; connected while somebody
/// listens. A silent connection is asked with PING, and dropped when no answer comes. Thread-safe.
class RedisSubscriber {
 public:
  struct Options {
    RedisTarget target;
    RedisConnection::Options connection;
    Duration connect_timeout = std::chrono::seconds(1);
    Duration ping_every = std::chrono::seconds(5);  ///< Of silence; as long again, and it is dropped.
    runtime::Backoff::Options reconnect{.first = std::chrono::milliseconds(10),
                                        .longest = std::chrono::seconds(2)};
  };
  /// `clock` must be real and outlive the subscriber.
  RedisSubscriber(Options options, const Clock& clock);
  /// Waits for a running listener.
  ~RedisSubscriber();

  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, storage::Listeners::Listener listener) {
    return listeners_.Add(std::move(channel), std::move(listener));
  }

 private:
  void Work();
  /// Connects if need be, subscribes to what is wanted, and hands on what comes until Wake() or a while.
  Result<void> Serve(const std::set<std::string>& wanted);
  Result<void> Connect();
  void Change(const std::set<std::string>& wanted);
  Result<void> HandOn(const redisReply& push);
  void Forget();
  void Wake();
  /// Until the connection is ready (if any), `until`, or Wake(), of which it says true.
  bool Poll(TimePoint until);

  const Options options_;
  const Clock& clock_;
  const Fd wake_;                      // An eventfd.
  std::atomic<bool> stopping_{false};  // Partner: wake_, written after it.
  std::unique_ptr<RedisConnection> connection_;
  std::set<std::string> asked_;  // Channels for which SUBSCRIBE was sent.
  std::set<std::string> heard_;  // And confirmed.
  TimePoint last_heard_;
  bool pinged_ = false;
  std::optional<runtime::Backoff> backoff_;
  storage::Listeners listeners_;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::drivers::internal
