#pragma once

#include <string>
#include <utility>

#include "mezzo/observe/log.h"

namespace mezzo::observe {

/// Tells the log when what is done again and again begins to fail, and when it works again; not of each
/// failure in between. For one thread.
class FailureLog {
 public:
  /// `log` outlives this.
  FailureLog(Logger& log, std::string failed, std::string recovered)
      : log_(log), failed_(std::move(failed)), recovered_(std::move(recovered)) {}

  /// `fields` say why: of the first failure they are logged, as a warning.
  void Failed(LogFields fields) {
    if (!std::exchange(failing_, true)) log_.Warn(failed_, fields);
  }
  void Worked() {
    if (std::exchange(failing_, false)) log_.Info(recovered_);
  }

 private:
  Logger& log_;
  const std::string failed_;
  const std::string recovered_;
  bool failing_ = false;
};

}  // namespace mezzo::observe
