#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"

namespace mezzo::runtime {

/// A thread that does a round of work again and again, and waits in between for as long as the round said, or
/// less when somebody wakes it. What fails is the round's to log: the thread goes on.
///
/// Thread-safe, but Stop() and the destructor must not be called by the round. What the round uses outlives
/// the thread: declare it as the last member.
class PeriodicThread {
 public:
  struct Options {
    std::string name;  ///< As top shows it, at most 15 bytes.
    Duration first{};  ///< Before the first round.
    /// Of real time, between two looks at the clock: for a clock that does not run as the steady one does.
    Duration longest_sleep = std::chrono::hours(1);
  };
  /// Between the end of a round and the beginning of the next.
  struct Pause {
    Duration longest{};  ///< When nobody wakes the thread. Zero: none.
    Duration least{};    ///< When somebody has since the round began; no more than `longest`.
  };
  using Round = std::function<Pause()>;

  /// `clock` outlives the thread. Runs nothing before Start().
  PeriodicThread(Options options, const Clock& clock, Round round);
  ~PeriodicThread() { Stop(); }
  PeriodicThread(const PeriodicThread&) = delete;
  PeriodicThread& operator=(const PeriodicThread&) = delete;

  /// Once. After Stop() no round comes any more.
  void Start() EXCLUDES(join_mu_);
  /// Makes the next round come soon. One that runs is followed by another.
  void Wake() EXCLUDES(mu_);
  /// Ends the pause; waits for the round that runs. No round runs when it returns. Idempotent.
  void Stop() EXCLUDES(mu_, join_mu_);
  /// Whether Stop() was called: for long rounds that end earlier then.
  [[nodiscard]] bool stopping() const EXCLUDES(mu_);

 private:
  void Run() EXCLUDES(mu_);
  /// False when the thread ends.
  bool Wait(const Pause& pause) EXCLUDES(mu_);

  const Options options_;
  const Clock& clock_;
  const Round round_;
  mutable Mutex mu_;
  CondVar changed_;
  bool woken_ GUARDED_BY(mu_) = false;
  bool stopping_ GUARDED_BY(mu_) = false;
  Mutex join_mu_;  // Never together with mu_.
  std::thread thread_ GUARDED_BY(join_mu_);
};

}  // namespace mezzo::runtime
