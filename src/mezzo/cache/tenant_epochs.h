#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "mezzo/base/mutex.h"

namespace mezzo::cache {

/// How often tenants' own parts of the cache were made invisible: a piece of the keys of what only the tenant
/// is answered with. What has an older one is never asked for again, and makes room as others do.
/// Thread-safe; while nobody's was, Of() reads one atomic.
class TenantEpochs {
 public:
  /// By tenant, then by model; the empty model counts for all.
  using Counts = std::map<std::string, std::map<std::string, std::uint64_t, std::less<>>, std::less<>>;

  /// 0 for who never asked; else it grows whenever the tenant's part of the model, or of all, is raised.
  [[nodiscard]] std::uint64_t Of(std::string_view tenant, std::string_view model) const EXCLUDES(mu_) {
    if (!any_.load(std::memory_order_acquire)) return 0;
    const MutexLock lock(mu_);
    const auto found = counts_.find(tenant);
    if (found == counts_.end()) return 0;
    const auto count = [&](std::string_view name) {
      const auto at = found->second.find(name);
      return at == found->second.end() ? 0 : at->second;
    };
    return count(model) + count("");
  }
  /// As a database has them.
  void Set(Counts counts) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    counts_ = std::move(counts);
    any_.store(!counts_.empty(), std::memory_order_release);
  }
  /// Without a database: on this host alone.
  void Raise(std::string_view tenant, std::string_view model) EXCLUDES(mu_) {
    const MutexLock lock(mu_);
    ++counts_[std::string(tenant)][std::string(model)];
    any_.store(true, std::memory_order_release);
  }

 private:
  mutable Mutex mu_;
  Counts counts_ GUARDED_BY(mu_);
  std::atomic<bool> any_{false};  // Partner: counts_.
};

}  // namespace mezzo::cache
