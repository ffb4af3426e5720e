#include "mezzo/runtime/scope.h"

#include <algorithm>
#include <chrono>

namespace mezzo::runtime {

Scope::~Scope() {
  while (!Stop(std::chrono::hours(1))) {
  }
}

bool Scope::Enter(const Context& ctx) {
  MutexLock lock(mu_);
  if (stopping_) return false;
  running_.push_back(ctx);
  return true;
}

void Scope::Leave(const Context& ctx) {
  MutexLock lock(mu_);
  const auto it = std::find_if(running_.begin(), running_.end(), [&](const Context& other) {
    return &other.cancel_state() == &ctx.cancel_state();
  });
  *it = std::move(running_.back());
  running_.pop_back();
  if (running_.empty()) idle_.NotifyAll();
}

void Scope::CancelAll() {
  std::vector<Context> running;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    running = running_;
  }
  for (const Context& ctx : running) ctx.Cancel();
}

bool Scope::Stop(Duration limit) {
  CancelAll();
  const auto until = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mu_);
  while (!running_.empty()) {
    if (!idle_.WaitUntil(mu_, until)) return running_.empty();
  }
  return true;
}

std::size_t Scope::running() const {
  MutexLock lock(mu_);
  return running_.size();
}

}  // namespace mezzo::runtime
