#pragma once

#include <functional>
#include <vector>

#include "mezzo/cache/shared_tier.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::cache {

/// Shows the tier that hosts share as `mezzo_cache_shared_…`, read when a scrape asks; zeros while there is
/// none. Thread-safe.
class SharedTierMetrics {
 public:
  /// `read` gives the tier's statistics, from the scraping thread. The registry must outlive this.
  SharedTierMetrics(observe::Registry& registry, std::function<SharedTier::Statistics()> read);
  /// For the tier's ports.
  [[nodiscard]] observe::Histogram& waits() { return waits_; }

 private:
  const std::function<SharedTier::Statistics()> read_;
  observe::Histogram& waits_;
  std::vector<observe::Callback> callbacks_;  // Last: they read what is above.
};

}  // namespace mezzo::cache
