#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/runtime/callback.h"

namespace mezzo::storage {

/// Who listens to what, for drivers that implement SqlDb::Listen() or KvStore::Subscribe(). Thread-safe;
/// Dispatch() and Greet() are called by one thread of the driver, on which the listeners run. Subscriptions
/// may outlive this object.
class Listeners {
 public:
  using Listener = std::function<void(std::string_view payload)>;

  /// `wake` is called after a subscription began or ended, under this object's lock: it only wakes the
  /// driver's thread. Not called once this object has died.
  explicit Listeners(runtime::Callback wake);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// As SqlDb::Listen() and KvStore::Subscribe() promise. The names of channels are the driver's to check.
  [[nodiscard]] std::shared_ptr<void> Add(std::string channel, Listener listener);

  [[nodiscard]] std::set<std::string> channels() const;

  /// Calls the listeners of `channel`.
  void Dispatch(std::string_view channel, std::string_view payload);

  /// Calls with an empty payload those listeners of `channels` that were not greeted since they were added or
  /// since Forget().
  void Greet(const std::set<std::string>& channels);
  /// Notifications may have been lost: everybody is to be greeted again.
  void Forget();

 private:
  class Entry;
  class Subscription;
  struct State {
    Mutex mu;
    std::multimap<std::string, std::shared_ptr<Entry>, std::less<>> entries GUARDED_BY(mu);
    runtime::Callback wake GUARDED_BY(mu);
  };

  const std::shared_ptr<State> state_;
};

}  // namespace mezzo::storage
