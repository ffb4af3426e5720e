#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/redis/internal/redis_connection.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/retry.h"
#include "mezzo/runtime/task.h"

namespace mezzo::drivers::internal {

/// Commands over a few connections, many in flight on each, with a thread of its own. Thread-safe.
///
/// A command is answered, fails with its connection (kUnavailable "kv_unavailable"), or with the earlier of
/// its deadline and `command_timeout` (kDeadlineExceeded "kv_timeout"). A connection whose oldest command has
/// waited for `command_timeout` is dropped. Commands are refused at once while Redis can't be connected to,
/// while the breaker is open, and beyond the bounds. Nothing is sent a second time, but for a script that
/// Redis does not know (any more).
class RedisClient {
 public:
  struct Options {
    RedisTarget target;
    RedisConnection::Options connection;
    std::size_t connections = 2;
    Duration connect_timeout = std::chrono::seconds(1);  ///< With the handshake.
    Duration command_timeout = std::chrono::milliseconds(250);
    std::size_t max_commands = 4096;     ///< That wait or are in flight.
    std::size_t max_bytes = 128U << 20;  ///< Of them.
    runtime::Backoff::Options reconnect{.first = std::chrono::milliseconds(10),
                                        .longest = std::chrono::seconds(2)};
    runtime::Breaker::Options breaker{.first_cooldown = std::chrono::milliseconds(200),
                                      .max_cooldown = std::chrono::seconds(2)};
  };
  /// Begins to connect. `clock` must be real and outlive the client.
  RedisClient(Options options, const Clock& clock);
  /// Fails what is in flight; no call may begin any more.
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  struct Answer {
    RedisReply reply;  ///< Never null.
    std::uint64_t connection = 0;
  };
  runtime::Task<Result<Answer>> Call(runtime::Context ctx, std::vector<std::string> words);
  /// Script number `script` of Options::connection; `words` are the number of keys, the keys, the arguments.
  runtime::Task<Result<Answer>> CallScript(runtime::Context ctx, std::size_t script,
                                           std::vector<std::string> words);
  /// What this connection answered makes no sense: it is dropped, and that counts as a failure.
  void Distrust(std::uint64_t connection) EXCLUDES(mu_);

  /// Whether commands would be sent now.
  [[nodiscard]] bool healthy() const EXCLUDES(mu_);
  [[nodiscard]] std::uint64_t connects() const { return connects_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kNoScript = SIZE_MAX;

  /// Lives in the frame of the coroutine that waits for it.
  struct Command {
    std::vector<std::string> words;
    std::size_t script = kNoScript;
    bool whole_script = false;  // EVAL, not EVALSHA.
    std::size_t bytes = 0;
    TimePoint deadline;
    bool impatient = false;  // The caller's deadline, which tells nothing about Redis.
    bool probe = false;
    runtime::Loop* home = nullptr;
    std::coroutine_handle<> handle;
    std::optional<Result<Answer>> result;
  };
  struct InFlight {
    Command* command = nullptr;  // Null when nobody waits for the answer any more.
    TimePoint sent;
  };
  struct Line {
    explicit Line(const runtime::Backoff::Options& options) : backoff(options) {}
    std::unique_ptr<RedisConnection> connection;
    std::uint64_t id = 0;
    TimePoint begun;
    TimePoint next_try;
    std::optional<runtime::Backoff> backoff;
    std::deque<InFlight> in_flight;
  };

  runtime::Task<Result<Answer>> Run(runtime::Context ctx, std::size_t script, std::vector<std::string> words);
  /// False when it is refused, with its result.
  bool Submit(Command& command) EXCLUDES(mu_);
  [[nodiscard]] Error Away(std::string_view why) const;
  void Wake();

  // All below: of the thread.
  void Work();
  /// False when stopping.
  bool TakeSubmitted() EXCLUDES(mu_);
  void Connect(Line& line, TimePoint now);
  void Serve(Line& line, TimePoint now);
  void OnAnswer(Line& line, RedisReply reply);
  void Drop(Line& line, const Error& why, TimePoint now);
  void Dispatch(TimePoint now);
  void Send(Line& line, Command& command, TimePoint now);
  void ExpireLate(TimePoint now);
  void CheckLine(Line& line, TimePoint now);
  [[nodiscard]] Line* Best();
  [[nodiscard]] bool AnyUp() const;
  void FailWaiting(const Error& why);
  enum class Verdict : std::uint8_t { kGood, kBad, kNone };
  void End(Command& command, Result<Answer> result, Verdict verdict) EXCLUDES(mu_);
  void ResumeEnded();
  /// `away`: why it is not; nothing: it is.
  void SetReachable(std::optional<Error> away) EXCLUDES(mu_);
  [[nodiscard]] TimePoint NextEvent() const;
  void Wait(TimePoint now);

  const Options options_;
  const Clock& clock_;
  const std::string place_;
  const Fd wake_;                           // An eventfd.
  std::atomic<std::uint64_t> connects_{0};  // For tests and metrics; no partner.

  mutable Mutex mu_;
  std::vector<Command*> submitted_ GUARDED_BY(mu_);
  std::vector<std::uint64_t> distrusted_ GUARDED_BY(mu_);
  std::size_t commands_ GUARDED_BY(mu_) = 0;
  std::size_t bytes_ GUARDED_BY(mu_) = 0;
  std::optional<Error> away_ GUARDED_BY(mu_);  ///< Why nobody is connected, since the last attempt failed.
  bool stopping_ GUARDED_BY(mu_) = false;
  runtime::Breaker breaker_ GUARDED_BY(mu_);

  // Of the thread.
  std::vector<Line> lines_;
  std::deque<Command*> waiting_;  // For a connection.
  std::vector<Command*> ended_;
  std::vector<std::uint64_t> dropping_;
  TimePoint next_deadline_ = kNever;
  std::uint64_t last_id_ = 0;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::drivers::internal
