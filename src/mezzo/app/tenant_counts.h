#pragma once

#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::app {

/// What the scheduler knows of each tenant, as metrics; of the first `kMost` tenants, so that thousands of
/// them don't drown a scrape (usage reports have all). Thread-safe.
class TenantCounts {
 public:
  static constexpr std::size_t kMost = 200;

  /// Both outlive this.
  TenantCounts(observe::Registry& registry, const sched::DeviceExecutor& executor);

  /// A tenant that the executor knows by now.
  void Add(const tenancy::Tenant& tenant) EXCLUDES(mu_);
  /// Before the executor dies.
  void Clear() EXCLUDES(mu_);

 private:
  const sched::DeviceExecutor& executor_;
  observe::CallbackFamily& charged_;
  observe::CallbackFamily& queued_;
  Mutex mu_;
  std::size_t tenants_ GUARDED_BY(mu_) = 0;
  std::vector<observe::Callback> callbacks_ GUARDED_BY(mu_);
};

}  // namespace mezzo::app
