#pragma once

#include <cstddef>

#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

struct VersionTestsConfig {
  bool enabled = true;
  config::ByteSize memory = config::GiB(4);
  Duration cpu_time = std::chrono::minutes(5);
  Duration time = std::chrono::minutes(5);
  std::size_t runs = 50;
  double latency_factor = 3;
  Duration latency_slack = std::chrono::milliseconds(2);
  double memory_factor = 0;
};

}  // namespace mezzo::app
