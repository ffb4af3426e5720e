#pragma once

#include <csignal>
#include <ctime>
#include <initializer_list>

#include "mezzo/base/clock.h"

namespace mezzo::app::cli {

/// Holds signals back while it lives, in this thread and those it starts, so that a loop can ask for them.
/// One that came and was never asked for acts at the end as it would have.
class SignalCatcher {
 public:
  explicit SignalCatcher(std::initializer_list<int> signals) {
    sigemptyset(&set_);
    for (const int signal : signals) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SignalCatcher() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalCatcher(const SignalCatcher&) = delete;
  SignalCatcher& operator=(const SignalCatcher&) = delete;

  /// The signal that came, 0 when there is none.
  int Poll() {
    const timespec now{};
    const int signal = sigtimedwait(&set_, nullptr, &now);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

}  // namespace mezzo::app::cli
