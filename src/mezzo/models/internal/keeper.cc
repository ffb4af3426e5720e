#include "mezzo/models/internal/keeper.h"

#include <algorithm>
#include <utility>

#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::models::internal {

Keeper::Keeper(std::function<Duration()> tick, std::function<void()> after_work, Pace pace)
    : tick_(std::move(tick)), after_work_(std::move(after_work)), pace_(pace), thread_([this] { Run(); }) {}

Keeper::~Keeper() { Stop(); }

void Keeper::Post(runtime::Callback work) {
  {
    MutexLock lock(mu_);
    if (!ended_) {
      work_.push_back(std::move(work));
      changed_.NotifyOne();
      return;
    }
  }
  work();
}

void Keeper::Wake() {
  MutexLock lock(mu_);
  woken_ = true;
  changed_.NotifyOne();
}

void Keeper::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
}

void Keeper::Run() {
  using SteadyClock = std::chrono::steady_clock;
  constexpr auto kNever = SteadyClock::time_point::max();
  runtime::SetThreadName("model-keeper");
  runtime::LowerThreadPriority();
  auto tick_due = kNever;
  auto settle_due = kNever;    // When after_work runs next.
  auto settle_limit = kNever;  // It runs by then, whatever else is posted.
  std::vector<runtime::Callback> work;
  while (true) {
    bool tick = false;
    bool ending = false;
    {
      MutexLock lock(mu_);
      const auto due = std::min(tick_due, settle_due);
      while (work_.empty() && !woken_ && !stopping_) {
        if (due == kNever) {
          changed_.Wait(mu_);
        } else if (!changed_.WaitUntil(mu_, due)) {
          break;
        }
      }
      if (work_.empty() && stopping_) ending = ended_ = true;
      work.swap(work_);
      tick = woken_ || SteadyClock::now() >= tick_due;
      woken_ = false;
    }
    for (auto& item : work) item();
    const auto now = SteadyClock::now();
    if (!work.empty() && after_work_) {
      if (settle_limit == kNever) settle_limit = now + pace_.longest;
      settle_due = std::min(now + pace_.settled, settle_limit);
    }
    work.clear();
    if (now >= settle_due) {
      after_work_();
      settle_due = settle_limit = kNever;
    }
    if (ending) return;
    if (!tick) continue;
    const Duration wait = tick_();
    tick_due = wait == Duration::zero() ? kNever : SteadyClock::now() + wait;
  }
}

}  // namespace mezzo::models::internal
