#include "mezzo/drivers/sqlite/internal/notifier.h"

#include <iterator>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::drivers::internal {

Notifier::Notifier(std::size_t max_queued)
    : max_queued_(max_queued), listeners_([this] { Wake(); }), thread_([this] { Work(); }) {}

Notifier::~Notifier() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyOne();
  thread_.join();
}

void Notifier::Wake() {
  {
    MutexLock lock(mu_);
    woken_ = true;
  }
  changed_.NotifyOne();
}

void Notifier::Publish(std::vector<Notification> notifications) {
  if (notifications.empty()) return;
  {
    MutexLock lock(mu_);
    if (notifications.size() > max_queued_ - queue_.size()) {
      lost_ = true;
    } else {
      queue_.insert(queue_.end(), std::make_move_iterator(notifications.begin()),
                    std::make_move_iterator(notifications.end()));
    }
  }
  changed_.NotifyOne();
}

void Notifier::Work() {
  runtime::SetThreadName("sqlite-notify");
  while (true) {
    std::deque<Notification> taken;
    bool lost = false;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !lost_ && !woken_ && !stopping_) changed_.Wait(mu_);
      if (stopping_) return;
      taken.swap(queue_);
      lost = std::exchange(lost_, false);
      woken_ = false;
    }
    if (lost) listeners_.Forget();
    listeners_.Greet(listeners_.channels());
    for (const Notification& notification : taken) {
      listeners_.Dispatch(notification.channel, notification.payload);
    }
  }
}

}  // namespace mezzo::drivers::internal
