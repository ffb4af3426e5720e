#pragma once

#include "mezzo/base/clock.h"

namespace mezzo::app {

/// When the device has more work than it can do.
struct AdmissionConfig {
  bool enabled = true;
  Duration target_delay = std::chrono::seconds(1);
  double target_runs = 10;
};

}  // namespace mezzo::app
