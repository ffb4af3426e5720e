#include "mezzo/runtime/loop.h"

#include <pthread.h>

#include <memory>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace mezzo::runtime {
namespace {

namespace asio = boost::asio;

constexpr Duration kTurnWatch = std::chrono::milliseconds(25);
constexpr Duration kStall = std::chrono::milliseconds(10);

thread_local Loop* current_loop = nullptr;

/// Waits on a timer; resumes on the timer's loop.
struct TimerAwaiter {
  asio::steady_timer& timer;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const {
    timer.async_wait([handle](const boost::system::error_code&) { handle.resume(); });
  }
  void await_resume() const noexcept {}
};

}  // namespace

struct Loop::TurnTimer : asio::steady_timer {
  using asio::steady_timer::steady_timer;
};

Loop::Loop() : io_(std::make_unique<asio::io_context>(1)), turn_timer_(std::make_unique<TurnTimer>(*io_)) {}
Loop::~Loop() = default;

Loop* Loop::Current() { return current_loop; }

void Loop::Post(Callback callback) { asio::post(*io_, std::move(callback)); }

void Loop::PostResume(std::coroutine_handle<> handle) {
  {
    MutexLock lock(mu_);
    resumes_.push_back(handle);
    if (resumes_.size() > 1) return;  // The first one has posted the drain.
  }
  asio::post(*io_, [this] { DrainResumes(); });
}

void Loop::DrainResumes() {
  {
    MutexLock lock(mu_);
    draining_.swap(resumes_);
  }
  for (const auto handle : draining_) handle.resume();
  draining_.clear();
}

void Loop::AtTurnEnd(Callback callback) {
  // Asio runs handlers in order and polls for readiness only between turns, so a handler posted now runs
  // after all that are ready.
  asio::post(*io_, std::move(callback));
}

void Loop::WatchTurns() {
  const auto due = std::chrono::steady_clock::now() + kTurnWatch;
  turn_timer_->expires_at(due);
  turn_timer_->async_wait([this, due](const boost::system::error_code& error) {
    if (error) return;
    if (std::chrono::steady_clock::now() - due > kStall) stalls_.fetch_add(1, std::memory_order_relaxed);
    WatchTurns();
  });
}

void Loop::Run() {
  current_loop = this;
  const auto work = asio::make_work_guard(*io_);
  WatchTurns();
  io_->run();
  current_loop = nullptr;
}

void Loop::Stop() { io_->stop(); }

Task<Result<void>> SleepUntil(Context ctx, TimePoint when) {
  Loop* loop = Loop::Current();
  MEZZO_CHECK(loop != nullptr);
  // Shared with the cancel callback's post, which may run after this frame has gone.
  const auto timer = std::make_shared<asio::steady_timer>(loop->io());
  timer->expires_at(std::min(when, ctx.deadline()));
  Callback on_cancel = [loop, timer] { loop->Post([timer] { timer->cancel(); }); };
  CancelRegistration registration(ctx.cancel_state(), std::move(on_cancel));
  TimerAwaiter wait{*timer};
  if (!ctx.cancelled()) co_await wait;
  if (ctx.cancelled()) co_return Cancelled("cancelled", "the call was cancelled");
  if (ctx.deadline() < when) co_return DeadlineExceeded("deadline", "the call's deadline has passed");
  co_return Result<void>();
}

IoThreads::IoThreads(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) loops_.push_back(std::make_unique<Loop>());
  for (std::size_t i = 0; i < count; ++i) {
    threads_.emplace_back([this, i] {
      SetThreadName("io-" + std::to_string(i));
      loops_[i]->Run();
    });
  }
}

IoThreads::~IoThreads() { Stop(); }

void IoThreads::Stop() {
  for (auto& loop : loops_) loop->Stop();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::uint64_t IoThreads::stalls() const {
  std::uint64_t total = 0;
  for (const auto& loop : loops_) total += loop->stalls();
  return total;
}

void SetThreadName(const std::string& name) {
  ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace mezzo::runtime
