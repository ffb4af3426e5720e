#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/runtime/callback.h"

namespace mezzo::models::internal {

/// The catalog's own thread: frees sessions, and calls `tick` at the times it asks for. Loads are not its
/// business, so that nothing that waits for memory waits for a load. Thread-safe.
class Keeper {
 public:
  struct Pace {
    Duration settled = std::chrono::milliseconds(500);
    Duration longest = std::chrono::seconds(10);
  };

  /// `tick` returns after how long it wants to run again; zero: only when woken. `after_work` (may be empty)
  /// runs once the posted work has paused for `settled`, and every `longest` while it does not pause: it
  /// returns memory to the system, which models that come and go would at once take back, page by page.
  Keeper(std::function<Duration()> tick, std::function<void()> after_work, Pace pace);
  /// Calls Stop().
  ~Keeper();

  /// Runs `work` on the thread; on this one when the keeper has stopped. Unbounded: one entry for each
  /// version that is freed.
  void Post(runtime::Callback work) EXCLUDES(mu_);
  /// Makes `tick` run soon.
  void Wake() EXCLUDES(mu_);
  /// Does what was posted, then ends the thread. Not from the thread itself.
  void Stop() EXCLUDES(mu_);

 private:
  void Run() EXCLUDES(mu_);

  const std::function<Duration()> tick_;
  const std::function<void()> after_work_;
  const Pace pace_;
  Mutex mu_;
  CondVar changed_;
  std::vector<runtime::Callback> work_ GUARDED_BY(mu_);
  bool woken_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  bool ended_ GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::models::internal
