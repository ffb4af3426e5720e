#include "mezzo/storage/change_feed.h"

namespace mezzo::storage {

ChangeFeed::ChangeFeed(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      failures_(ports_.log, options_.failed, options_.recovered),
      thread_({.name = options_.thread}, poll_clock_, [this] { return Read(); }) {}

void ChangeFeed::Start() {
  if (ports_.db != nullptr) {
    subscription_ = ports_.db->Listen(options_.channel, [this](std::string_view) { thread_.Wake(); });
  }
  thread_.Start();
}

void ChangeFeed::Stop() {
  {
    const MutexLock lock(mu_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  subscription_.reset();
  thread_.Stop();
}

bool ChangeFeed::CatchUp(Duration limit) {
  const TimePoint until = AddSaturating(poll_clock_.Now(), limit);
  std::uint64_t ticket = 0;
  {
    const MutexLock lock(mu_);
    ticket = ++asked_;
  }
  thread_.Wake();
  const MutexLock lock(mu_);
  while (caught_up_ < ticket && !stopping_) {
    if (!changed_.WaitUntil(mu_, until)) break;
  }
  return caught_up_ >= ticket;
}

runtime::PeriodicThread::Pause ChangeFeed::Read() {
  std::uint64_t asked = 0;
  {
    const MutexLock lock(mu_);
    asked = asked_;
  }
  const TimePoint begun = ports_.clock.Now();
  const Result<void> read = ports_.read(begun);
  if (!read.ok()) {
    failures_.Failed({{"error", read.error().ToString()}});
    return {.longest = options_.poll, .least = options_.poll};
  }
  failures_.Worked();
  if (options_.trusted > Duration::zero()) {
    fresh_until_.store(AddSaturating(begun, options_.trusted).time_since_epoch().count(),
                       std::memory_order_release);
  }
  const MutexLock lock(mu_);
  caught_up_ = asked;
  changed_.NotifyAll();
  return {.longest = options_.poll};
}

}  // namespace mezzo::storage
