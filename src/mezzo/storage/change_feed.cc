#include "mezzo/storage/change_feed.h"

#include "mezzo/runtime/loop.h"

namespace mezzo::storage {

void ChangeFeed::Start() {
  if (ports_.db != nullptr) {
    subscription_ = ports_.db->Listen(options_.channel, [this](std::string_view) {
      const MutexLock lock(mu_);
      told_ = true;
      changed_.NotifyAll();
    });
  }
  thread_ = std::thread([this] { Follow(); });
}

void ChangeFeed::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  subscription_.reset();
  if (thread_.joinable()) thread_.join();
}

bool ChangeFeed::CatchUp(Duration limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(mu_);
  const std::uint64_t ticket = ++asked_;
  told_ = true;
  changed_.NotifyAll();
  while (caught_up_ < ticket && !stopping_) {
    if (!changed_.WaitUntil(mu_, until)) break;
  }
  return caught_up_ >= ticket;
}

void ChangeFeed::WaitForPoll() {
  const auto until = std::chrono::steady_clock::now() + options_.poll;
  const MutexLock lock(mu_);
  while (!stopping_ && changed_.WaitUntil(mu_, until)) {
  }
  told_ = true;
}

void ChangeFeed::Follow() {
  runtime::SetThreadName(options_.thread.c_str());
  while (true) {
    std::uint64_t asked = 0;
    {
      const auto until = std::chrono::steady_clock::now() + options_.poll;
      const MutexLock lock(mu_);
      while (!told_ && !stopping_ && changed_.WaitUntil(mu_, until)) {
      }
      if (stopping_) return;
      told_ = false;
      asked = asked_;
    }
    const TimePoint begun = ports_.clock.Now();
    const Result<void> read = ports_.read(begun);
    if (!read.ok()) {
      if (!std::exchange(failing_, true)) {
        ports_.log.Warn(options_.failed, {{"error", read.error().ToString()}});
      }
      WaitForPoll();
      continue;
    }
    if (std::exchange(failing_, false)) ports_.log.Info(options_.recovered);
    if (options_.trusted > Duration::zero()) {
      fresh_until_.store(AddSaturating(begun, options_.trusted).time_since_epoch().count(),
                         std::memory_order_release);
    }
    const MutexLock lock(mu_);
    caught_up_ = asked;
    changed_.NotifyAll();
  }
}

}  // namespace mezzo::storage
