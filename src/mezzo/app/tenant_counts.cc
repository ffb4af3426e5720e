#include "mezzo/app/tenant_counts.h"

namespace mezzo::app {

TenantCounts::TenantCounts(observe::Registry& registry, const sched::DeviceExecutor& executor)
    : executor_(executor),
      charged_(registry.NewCallbackFamily("mezzo_sched_charged_seconds_total",
                                          "Device time charged to tenants.", observe::MetricType::kCounter,
                                          {"tenant", "class"})),
      queued_(registry.NewCallbackFamily("mezzo_sched_tenant_queued_items", "Work of a tenant that waits.",
                                         observe::MetricType::kGauge, {"tenant", "class"})) {}

void TenantCounts::Add(const tenancy::Tenant& tenant) {
  MutexLock lock(mu_);
  if (tenants_ == kMost) return;
  ++tenants_;
  const sched::TenantIndex index{tenant.index};
  for (std::size_t c = 0; c < sched::kClassCount; ++c) {
    const auto cls = static_cast<sched::Class>(c);
    callbacks_.push_back(charged_.Add({tenant.id.str(), sched::ClassName(cls)}, [this, index, cls] {
      return Seconds(executor_.StatisticsOf(index, cls).charged);
    }));
    callbacks_.push_back(queued_.Add({tenant.id.str(), sched::ClassName(cls)}, [this, index, cls] {
      return static_cast<double>(executor_.StatisticsOf(index, cls).queued_items);
    }));
  }
}

void TenantCounts::Clear() {
  MutexLock lock(mu_);
  callbacks_.clear();
}

}  // namespace mezzo::app
