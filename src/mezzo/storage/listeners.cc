#include "mezzo/storage/listeners.h"

#include <thread>
#include <utility>

namespace mezzo::storage {

/// One subscription's listener, and whether it runs.
class Listeners::Entry {
 public:
  explicit Entry(Listener listener) : listener_(std::move(listener)) {}

  void Call(std::string_view payload) EXCLUDES(mu_) {
    {
      MutexLock lock(mu_);
      if (ended_) return;
      runner_ = std::this_thread::get_id();
    }
    listener_(payload);
    MutexLock lock(mu_);
    runner_ = {};
    if (ended_) listener_ = nullptr;
    idle_.NotifyAll();
  }

  /// No call begins after this, and none runs but the one that called this.
  void End() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    ended_ = true;
    if (runner_ == std::this_thread::get_id()) return;
    while (runner_ != std::thread::id()) idle_.Wait(mu_);
    listener_ = nullptr;  // What it holds dies with the subscription, not later on the driver's thread.
  }

  /// Under the lock of State.
  bool greeted = false;

 private:
  Listener listener_;  // Used by the one thread that dispatches; cleared when none can any more.
  Mutex mu_;
  CondVar idle_;
  bool ended_ GUARDED_BY(mu_) = false;
  std::thread::id runner_ GUARDED_BY(mu_);
};

class Listeners::Subscription {
 public:
  Subscription(std::shared_ptr<State> state, std::shared_ptr<Entry> entry)
      : state_(std::move(state)), entry_(std::move(entry)) {}
  ~Subscription() {
    {
      MutexLock lock(state_->mu);
      std::erase_if(state_->entries, [this](const auto& item) { return item.second == entry_; });
      if (state_->wake) state_->wake();
    }
    entry_->End();
  }
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

 private:
  const std::shared_ptr<State> state_;
  const std::shared_ptr<Entry> entry_;
};

Listeners::Listeners(runtime::Callback wake) : state_(std::make_shared<State>()) {
  MutexLock lock(state_->mu);
  state_->wake = std::move(wake);
}

Listeners::~Listeners() {
  MutexLock lock(state_->mu);
  state_->wake = {};
}

std::shared_ptr<void> Listeners::Add(std::string channel, Listener listener) {
  auto entry = std::make_shared<Entry>(std::move(listener));
  MutexLock lock(state_->mu);
  state_->entries.emplace(std::move(channel), entry);
  if (state_->wake) state_->wake();
  return std::make_shared<Subscription>(state_, std::move(entry));
}

std::set<std::string> Listeners::channels() const {
  std::set<std::string> names;
  MutexLock lock(state_->mu);
  for (const auto& [channel, entry] : state_->entries) names.insert(channel);
  return names;
}

void Listeners::Dispatch(std::string_view channel, std::string_view payload) {
  std::vector<std::shared_ptr<Entry>> called;
  {
    MutexLock lock(state_->mu);
    const auto [first, last] = state_->entries.equal_range(channel);
    for (auto it = first; it != last; ++it) called.push_back(it->second);
  }
  for (const auto& entry : called) entry->Call(payload);
}

void Listeners::Greet(const std::set<std::string>& channels) {
  std::vector<std::shared_ptr<Entry>> called;
  {
    MutexLock lock(state_->mu);
    for (const auto& [channel, entry] : state_->entries) {
      if (entry->greeted || !channels.contains(channel)) continue;
      entry->greeted = true;
      called.push_back(entry);
    }
  }
  for (const auto& entry : called) entry->Call({});
}

void Listeners::Forget() {
  MutexLock lock(state_->mu);
  for (const auto& [channel, entry] : state_->entries) entry->greeted = false;
}

}  // namespace mezzo::storage
