#pragma once

#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::app {

struct DriftConfig {
  std::uint32_t one_in = 0;
  std::uint64_t reference_calls = 512;
  std::uint64_t min_calls = 512;
  Duration window = std::chrono::minutes(10);
  Duration flush = std::chrono::seconds(5);
  double threshold = 0.25;
  Duration sustain = std::chrono::minutes(1);
  std::size_t max_tensors = 1024;
};

}  // namespace mezzo::app
