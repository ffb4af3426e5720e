#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/storage/listeners.h"

namespace mezzo::storage {

struct Notification {
  std::string channel;
  std::string payload;
};

/// Calls the listeners of this process from its own thread, in the order of Publish(), for drivers whose
/// store is this process's alone. Thread-safe.
class LocalNotifier {
 public:
  /// Beyond `max_queued` notifications are dropped, and every listener is called with an empty payload
  /// instead. `thread_name` has 15 characters at most.
  LocalNotifier(std::size_t max_queued, std::string thread_name);
  /// Drops what is queued; waits for a running listener.
  ~LocalNotifier();

  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, Listeners::Listener listener) {
    return listeners_.Add(std::move(channel), std::move(listener));
  }
  void Publish(std::vector<Notification> notifications) EXCLUDES(mu_);

 private:
  void Work() EXCLUDES(mu_);
  void Wake() EXCLUDES(mu_);

  const std::size_t max_queued_;
  const std::string thread_name_;
  Mutex mu_;
  CondVar changed_;
  std::deque<Notification> queue_ GUARDED_BY(mu_);
  bool lost_ GUARDED_BY(mu_) = false;
  bool woken_ GUARDED_BY(mu_) = false;  // Somebody new may wait for a greeting.
  bool stopping_ GUARDED_BY(mu_) = false;
  Listeners listeners_;
  std::thread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::storage
