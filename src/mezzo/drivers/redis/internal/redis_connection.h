#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <hiredis/hiredis.h>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/redis/internal/redis_target.h"

namespace mezzo::drivers::internal {

struct RedisReplyDeleter {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, RedisReplyDeleter>;

/// The text of a status or a string; empty of another type.
std::string_view TextOf(const redisReply& reply);
/// The first word of an error answer when it looks like one ("NOSCRIPT"), else "an error".
std::string ErrorWordOf(const redisReply& reply);

/// One connection to Redis (RESP2), over a socket that never blocks; hiredis formats and reads. It begins
/// with AUTH, SELECT and PING, and with loading scripts. Not thread-safe.
///
/// Errors of all: kUnavailable "kv_unavailable" (not reached, refused, closed), kInternal "kv_failed" (what
/// came is no RESP, has too many elements, or is too long). After any of them the connection is of no use.
class RedisConnection {
 public:
  struct Options {
    std::size_t max_answer_bytes = 64U << 20;
    std::vector<std::string> scripts;
  };
  /// Begins to connect. Resolves the host's name, which may block.
  static Result<std::unique_ptr<RedisConnection>> Begin(const RedisTarget& target, Options options);
  ~RedisConnection();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// What to poll() for.
  [[nodiscard]] short events() const;
  /// What is behind the last poll(): connects, writes and reads as far as it goes.
  Result<void> OnReady();
  /// Whether Redis has let us in and knows the scripts.
  [[nodiscard]] bool up() const { return handshake_left_ == 0; }
  /// What EVALSHA calls each script; when up.
  [[nodiscard]] const std::vector<std::string>& script_ids() const { return script_ids_; }

  /// Sends with the next Flush() or OnReady().
  void Send(const std::vector<std::string_view>& words);
  Result<void> Flush();
  /// The next answer, or null when none is whole yet. Only when up().
  Result<RedisReply> Next();

 private:
  RedisConnection(const RedisTarget& target, Options options);
  [[nodiscard]] Error Broken(std::string_view why) const;
  [[nodiscard]] Error Nonsense(std::string_view why) const;
  void SendHandshake(const RedisTarget& target);
  Result<void> Read();
  Result<void> Shake();

  const std::string place_;
  const Options options_;
  Fd fd_;
  redisReader* reader_;
  bool connected_ = false;
  std::string out_;
  std::size_t written_ = 0;
  std::size_t unparsed_ = 0;  // Bytes since the last whole answer.
  std::size_t handshake_left_ = 0;
  std::vector<std::string> script_ids_;
};

}  // namespace mezzo::drivers::internal
