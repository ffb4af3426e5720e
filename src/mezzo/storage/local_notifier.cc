#include "mezzo/storage/local_notifier.h"

#include <iterator>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::storage {

LocalNotifier::LocalNotifier(std::size_t max_queued, std::string thread_name)
    : max_queued_(max_queued),
      thread_name_(std::move(thread_name)),
      listeners_([this] { Wake(); }),
      thread_([this] { Work(); }) {}

LocalNotifier::~LocalNotifier() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  changed_.NotifyOne();
  thread_.join();
}

void LocalNotifier::Wake() {
  {
    MutexLock lock(mu_);
    woken_ = true;
  }
  changed_.NotifyOne();
}

void LocalNotifier::Publish(std::vector<Notification> notifications) {
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

void LocalNotifier::Work() {
  runtime::SetThreadName(thread_name_);
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

}  // namespace mezzo::storage
