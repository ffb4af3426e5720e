#pragma once

#include <cstdint>

#include "mezzo/lifecycle/tracking_store.h"

namespace mezzo::lifecycle {

/// By how much the counts of a tenant change.
struct TrackingStore::Growth {
  std::int64_t experiments = 0;
  std::int64_t runs = 0;
  std::int64_t models = 0;
  std::int64_t files = 0;
  std::int64_t bytes = 0;
};

}  // namespace mezzo::lifecycle
