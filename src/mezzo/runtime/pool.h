#pragma once

#include <atomic>
#include <coroutine>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/callback.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::runtime {

/// Makes the calling thread's work background work: nice 10, a tenth of the weight of what serves.
void LowerThreadPriority();

/// Threads for work that blocks or computes: disk, SQL, codecs, loading. Bounded: a full queue refuses.
/// Thread-safe. The destructor finishes what was queued.
class BlockingPool {
 public:
  struct Options {
    std::string name = "pool";
    std::size_t threads = 2;
    std::size_t max_queued = 256;
    bool background = false;  ///< Lower priority than what serves (nice 10).
  };
  explicit BlockingPool(Options options);
  ~BlockingPool();

  /// False when the queue is full or the pool is stopping; `work` is then not run.
  [[nodiscard]] bool TrySubmit(Callback work) EXCLUDES(mu_);
  [[nodiscard]] std::size_t queued() const EXCLUDES(mu_);
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  void Work();

  const Options options_;
  mutable Mutex mu_;
  CondVar ready_;
  std::deque<Callback> queue_ GUARDED_BY(mu_);
  bool stopping_ GUARDED_BY(mu_) = false;
  std::atomic<std::uint64_t> refused_{0};  // Counter for metrics; no partner.
  std::vector<std::thread> threads_;       // Last: they use everything above.
};

namespace internal {

template <typename Fn>
class OffloadAwaiter {
 public:
  using R = std::invoke_result_t<Fn&>;  // A Result<T>.

  OffloadAwaiter(BlockingPool& pool, Fn fn) : pool_(pool), fn_(std::move(fn)) {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    Loop* home = Loop::Current();
    const bool accepted = pool_.TrySubmit([this, home, handle] {
      result_.emplace(fn_());
      if (home != nullptr) {
        home->PostResume(handle);
      } else {
        handle.resume();
      }
    });
    if (!accepted) {
      result_.emplace(Error(Code::kUnavailable, "pool_full",
                            "the queue of pool '" + pool_.options().name + "' is full (limit " +
                                std::to_string(pool_.options().max_queued) + ")"));
    }
    return accepted;
  }
  R await_resume() { return std::move(*result_); }

 private:
  BlockingPool& pool_;
  Fn fn_;
  std::optional<R> result_;
};

}  // namespace internal

/// `co_await Offload(pool, fn)`: runs `fn` (returning a Result) on the pool and continues on the loop it came
/// from. Fails with kUnavailable "pool_full" when the pool's queue is full.
template <typename Fn>
auto Offload(BlockingPool& pool, Fn fn) {
  return internal::OffloadAwaiter<Fn>(pool, std::move(fn));
}

}  // namespace mezzo::runtime
