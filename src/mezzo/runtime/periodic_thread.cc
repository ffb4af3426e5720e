#include "mezzo/runtime/periodic_thread.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::runtime {

PeriodicThread::PeriodicThread(Options options, const Clock& clock, Round round)
    : options_(std::move(options)), clock_(clock), round_(std::move(round)) {}

void PeriodicThread::Start() {
  const MutexLock lock(join_mu_);
  MEZZO_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void PeriodicThread::Wake() {
  const MutexLock lock(mu_);
  woken_ = true;
  changed_.NotifyAll();
}

void PeriodicThread::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  const MutexLock lock(join_mu_);
  if (thread_.joinable()) thread_.join();
}

bool PeriodicThread::stopping() const {
  const MutexLock lock(mu_);
  return stopping_;
}

void PeriodicThread::Run() {
  SetThreadName(options_.name);
  Pause pause{.longest = options_.first};
  while (Wait(pause)) pause = round_();
}

bool PeriodicThread::Wait(const Pause& pause) {
  const RealClock real;
  const TimePoint began = clock_.Now();
  const TimePoint last = AddSaturating(began, pause.longest);
  const TimePoint soon = std::min(AddSaturating(began, pause.least), last);
  const MutexLock lock(mu_);
  while (!stopping_) {
    const TimePoint until = woken_ ? soon : last;
    const TimePoint now = clock_.Now();
    if (now >= until) {
      woken_ = false;
      return true;
    }
    (void)changed_.WaitUntil(mu_, real.Now() + std::min(until - now, options_.longest_sleep));
  }
  return false;
}

}  // namespace mezzo::runtime
