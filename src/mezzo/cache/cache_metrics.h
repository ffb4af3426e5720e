#pragma once

#include <map>
#include <string>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/result_cache.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::cache {

/// Shows a tier, and the models of a result cache on it, as metrics, read when a scrape asks:
/// `mezzo_cache_calls_total{model, outcome}` (hit, join, miss, bypass), `mezzo_cache_stale_hits_total`,
/// `mezzo_cache_entries`, `mezzo_cache_bytes`, `mezzo_cache_saved_seconds_total` of each model, and
/// `mezzo_cache_tier_…` of the tier. Thread-safe.
class CacheMetrics {
 public:
  /// Registry and tier must outlive it.
  CacheMetrics(observe::Registry& registry, const MemoryTier& tier);

  /// Shows the model from now on; the second time does nothing.
  void Show(const ResultCache::ModelRef& model) EXCLUDES(mu_);

 private:
  observe::CallbackFamily& calls_;
  observe::CallbackFamily& stale_;
  observe::CallbackFamily& entries_;
  observe::CallbackFamily& bytes_;
  observe::CallbackFamily& saved_;
  std::vector<observe::Callback> tier_;
  Mutex mu_;
  std::map<std::string, std::vector<observe::Callback>> models_ GUARDED_BY(mu_);
};

}  // namespace mezzo::cache
