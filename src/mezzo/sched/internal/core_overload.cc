#include <array>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>

#include "mezzo/sched/internal/core.h"

// What the device is protected by: whose item is let in while there is too much, and how far it may fill a
// queue.

namespace mezzo::sched {

using internal::Model;
using internal::Tenant;

ShedGroup Scheduler::Core::GroupOf(const WorkItem& item, const Tenant& tenant) {
  if (tenant.options.free_tier) return ShedGroup::kFree;
  return item.cls == Class::kBulk ? ShedGroup::kBulk : ShedGroup::kRest;
}

Result<void> Scheduler::Core::AdmitByLoad(const WorkItem& item, const Model& model, Tenant& tenant,
                                          TimePoint now) {
  const ShedGroup group = GroupOf(item, tenant);
  const internal::Lane* lane =
      backlog_.FindLane(model.classes[static_cast<std::size_t>(item.cls)], item.batch_key);
  const bool let_in = overload_.Admit({.flow = &tenant.offers[static_cast<std::size_t>(group)],
                                       .group = group,
                                       .cls = item.cls,
                                       .weight = tenant.nodes[0].weight,
                                       .cost = backlog_.CostOf(item.rows, item.batch_key, model, lane),
                                       .may_shed = item.may_shed},
                                      now);
  if (let_in) return {};
  CountRefused(item, Refusal::kOverloaded);
  constexpr std::array<std::string_view, kShedGroupCount> kGroups = {"the free tier", "class bulk",
                                                                     "tenants beyond their share"};
  return Unavailable(
             "overloaded",
             fmt::format("the device of model '{}' has more work than it can do: what {} asked for is "
                         "refused for now",
                         model.options.name, kGroups.at(static_cast<std::size_t>(group))))
      .WithRetryAfter(overload_.RetryAfter());
}

std::size_t Scheduler::Core::LimitFor(const WorkItem& item, const Tenant& tenant, std::size_t limit) const {
  constexpr std::size_t kLeastDivided = 16;
  constexpr std::size_t kFreePart = 4;   // The last fourth ...
  constexpr std::size_t kBulkPart = 10;  // ... and tenth are kept for those who are shed later.
  if (!overload_.enabled() || !item.may_shed || limit < kLeastDivided) return limit;
  switch (GroupOf(item, tenant)) {
    case ShedGroup::kFree:
      return paid_tenants_ > 0 ? limit - limit / kFreePart : limit;
    case ShedGroup::kBulk:
      return limit - limit / kBulkPart;
    case ShedGroup::kRest:
      break;
  }
  return limit;
}

}  // namespace mezzo::sched
