#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

/// The section `redis` of mezzo.yaml; see redis_schema.h.
struct RedisConfig {
  config::Secret url;
  std::string prefix = "mezzo:";
  std::size_t connections = 2;
  Duration connect_timeout = std::chrono::seconds(1);
  Duration command_timeout = std::chrono::milliseconds(250);
};

}  // namespace mezzo::app
