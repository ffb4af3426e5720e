#include "mezzo/models/internal/keeper.h"

#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::models::internal {

Keeper::Keeper(std::function<Duration()> tick, std::function<void()> after_work)
    : tick_(std::move(tick)), after_work_(std::move(after_work)), thread_([this] { Run(); }) {}

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
  runtime::SetThreadName("model-keeper");
  Duration wait = Duration::zero();
  auto due = std::chrono::steady_clock::now();
  std::vector<runtime::Callback> work;
  while (true) {
    bool tick = false;
    {
      MutexLock lock(mu_);
      while (work_.empty() && !woken_ && !stopping_) {
        if (wait == Duration::zero()) {
          changed_.Wait(mu_);
        } else if (!changed_.WaitUntil(mu_, due)) {
          break;
        }
      }
      if (work_.empty() && stopping_) {
        ended_ = true;
        return;
      }
      work.swap(work_);
      tick = woken_ || (wait != Duration::zero() && std::chrono::steady_clock::now() >= due);
      woken_ = false;
    }
    for (auto& item : work) item();
    if (!work.empty() && after_work_) after_work_();
    work.clear();
    if (!tick) continue;
    wait = tick_();
    due = std::chrono::steady_clock::now() + wait;
  }
}

}  // namespace mezzo::models::internal
