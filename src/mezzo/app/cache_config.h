#pragma once

#include <chrono>

#include "mezzo/base/clock.h"
#include "mezzo/config/value.h"

namespace mezzo::app {

/// The section `cache` of mezzo.yaml; see cache_schema.h. Models say in model.yaml whether theirs are kept.
struct CacheConfig {
  config::ByteSize max_bytes = config::MiB(256);
  config::ByteSize recent_bytes = config::MiB(32);
  Duration max_staleness = std::chrono::seconds(5);
  Duration poll_interval = std::chrono::seconds(1);
  Duration shared_timeout = std::chrono::milliseconds(50);
};

}  // namespace mezzo::app
