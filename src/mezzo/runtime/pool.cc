#include "mezzo/runtime/pool.h"

#include <sys/resource.h>

#include <algorithm>

namespace mezzo::runtime {
namespace {

/// Nice 10 has a tenth of a normal thread's weight: serving wins every contest, and loading still moves on a
/// host whose cores are all busy. (SCHED_IDLE was tried: on such a host a load of 50 ms took 20 s.)
constexpr int kBackgroundNice = 10;
constexpr int kLeastNice = 19;

}  // namespace

void LowerThreadPriority() {
  // On Linux the zero names the calling thread.
  ::setpriority(PRIO_PROCESS, 0, std::min(::getpriority(PRIO_PROCESS, 0) + kBackgroundNice, kLeastNice));
}

BlockingPool::BlockingPool(Options options) : options_(std::move(options)) {
  threads_.reserve(options_.threads);
  for (std::size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

BlockingPool::~BlockingPool() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  ready_.NotifyAll();
  for (auto& thread : threads_) thread.join();
}

bool BlockingPool::TrySubmit(Callback work) {
  {
    MutexLock lock(mu_);
    if (!stopping_ && queue_.size() < options_.max_queued) {
      queue_.push_back(std::move(work));
      ready_.NotifyOne();
      return true;
    }
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

std::size_t BlockingPool::queued() const {
  MutexLock lock(mu_);
  return queue_.size();
}

void BlockingPool::Work() {
  SetThreadName(options_.name);
  if (options_.background) LowerThreadPriority();
  while (true) {
    Callback work;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !stopping_) ready_.Wait(mu_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace mezzo::runtime
