#pragma once

#include <atomic>
#include <coroutine>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/runtime/callback.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace boost::asio {
class io_context;
}

namespace mezzo::runtime {

/// One I/O thread's event loop. What runs on it must not block; stalls over 10 ms are counted.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// The loop whose thread this is, or null.
  static Loop* Current();

  /// Runs `callback` on the loop's thread, later. From any thread.
  void Post(Callback callback);
  /// Resumes a coroutine on the loop's thread, later. From any thread; many resumes between two turns of the
  /// loop cost one wake-up.
  void PostResume(std::coroutine_handle<> handle) EXCLUDES(mu_);
  /// Runs `callback` once the handlers that are ready now have run: the end of this turn. Loop's thread only.
  /// The executor uses it to form batches from all that arrived in one turn.
  void AtTurnEnd(Callback callback);

  /// Runs the loop on this thread until Stop().
  void Run();
  void Stop();

  /// Turns that came more than 10 ms late, since the start.
  [[nodiscard]] std::uint64_t stalls() const { return stalls_.load(std::memory_order_relaxed); }

  /// For `runtime` and `net` only.
  [[nodiscard]] boost::asio::io_context& io() { return *io_; }

 private:
  void DrainResumes() EXCLUDES(mu_);
  void WatchTurns();

  struct TurnTimer;

  std::unique_ptr<boost::asio::io_context> io_;
  std::unique_ptr<TurnTimer> turn_timer_;
  Mutex mu_;
  std::vector<std::coroutine_handle<>> resumes_ GUARDED_BY(mu_);
  std::vector<std::coroutine_handle<>> draining_;  // Loop's thread only.
  std::atomic<std::uint64_t> stalls_{0};           // Written by the loop, read by metrics; no partner.
};

/// Suspends until `when`, or until the context is cancelled or its deadline passes: then kCancelled or
/// kDeadlineExceeded. On a loop's thread only.
Task<Result<void>> SleepUntil(Context ctx, TimePoint when);

/// Moves the calling coroutine to `loop`'s thread.
inline auto MoveTo(Loop& loop) {
  struct Awaiter {
    Loop& loop;
    [[nodiscard]] bool await_ready() const noexcept { return Loop::Current() == &loop; }
    void await_suspend(std::coroutine_handle<> handle) const { loop.PostResume(handle); }
    void await_resume() const noexcept {}
  };
  return Awaiter{loop};
}

/// A fixed number of loops, each on a thread of its own. Stop() joins; the destructor calls it.
class IoThreads {
 public:
  explicit IoThreads(std::size_t count);
  ~IoThreads();

  [[nodiscard]] std::size_t size() const { return loops_.size(); }
  [[nodiscard]] Loop& loop(std::size_t i) { return *loops_[i]; }
  [[nodiscard]] std::uint64_t stalls() const;
  void Stop();

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::thread> threads_;
};

/// The thread's name as top and gdb show it (15 characters at most).
void SetThreadName(const std::string& name);

}  // namespace mezzo::runtime
