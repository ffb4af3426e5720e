#include "mezzo/sched/internal/deadline_line.h"

#include <algorithm>
#include <limits>

#include "mezzo/base/check.h"

namespace mezzo::sched::internal {

namespace {

double SafeCost(WorkItem& item) {
  return DeadlineLine::kSafety * static_cast<double>(ItemAccess::Cost(item));
}

}  // namespace

void DeadlineLine::Insert(WorkItem& item, TimePoint latest_start) {
  const ItemKey key{latest_start.time_since_epoch().count(), ItemAccess::Arrival(item)};
  if (!far_.empty() && !(key < near_.back().key)) {
    far_.Push(key, &item);
    return;
  }
  ItemAccess::ExpiryPosition::Of(item) = kNoPosition;
  InsertNear({key, SafeCost(item), &item, item.cls});
  Rebalance();
}

void DeadlineLine::InsertNear(const Entry& entry) {
  // From the back: what arrives usually has to start later than what waits.
  const auto place = std::upper_bound(near_.begin(), near_.end(), entry.key,
                                      [](const ItemKey& key, const Entry& each) { return key < each.key; });
  near_.insert(place, entry);
}

void DeadlineLine::Remove(WorkItem& item) {
  if (ItemAccess::ExpiryPosition::Of(item) != kNoPosition) {
    far_.Remove(&item);
    return;
  }
  // Its key is not kept in the item; nearly always it is among the first.
  const auto found =
      std::find_if(near_.begin(), near_.end(), [&item](const Entry& entry) { return entry.item == &item; });
  MEZZO_CHECK(found != near_.end());
  near_.erase(found);
  Rebalance();
}

void DeadlineLine::UpdateFirst(TimePoint latest_start) {
  WorkItem& item = *near_.front().item;
  near_.erase(near_.begin());
  Rebalance();
  Insert(item, latest_start);
}

void DeadlineLine::Rebalance() {
  while (near_.size() > kMostNear) {
    far_.Push(near_.back().key, near_.back().item);
    near_.pop_back();
  }
  if (near_.size() >= kLeastNear || far_.empty()) return;
  while (near_.size() < kMostNear / 2 && !far_.empty()) {
    WorkItem* item = far_.top();
    near_.push_back({far_.top_key(), SafeCost(*item), item, item->cls});
    far_.Pop();
  }
}

double DeadlineLine::Slack(Class cls, TimePoint after, const Device& device, const WorkItem* except) const {
  double ahead = device.free_sum;
  double slack = std::numeric_limits<double>::infinity();
  const auto from = after.time_since_epoch().count();
  for (const Entry& entry : near_) {
    if (entry.cls > cls || entry.item == except) continue;
    const double room = static_cast<double>(entry.key.when) * device.slots - ahead;
    if (room >= 0 && entry.key.when >= from) slack = std::min(slack, room);
    ahead += entry.cost;
  }
  return slack;
}

bool DeadlineLine::Hurts(const WorkItem& item, double work, const Device& device) const {
  double without = device.free_sum;
  double with = without + work;
  for (const Entry& entry : near_) {
    if (entry.cls > item.cls) continue;
    if (entry.item != &item) {
      const double limit = static_cast<double>(entry.key.when) * device.slots;
      if (without <= limit && with > limit) return true;
      with += entry.cost;
    }
    without += entry.cost;
    if (with <= without) return false;  // From here on they are better off.
  }
  return false;
}

double DeadlineLine::WorkBefore(TimePoint latest_start, Class cls) const {
  double work = 0;
  for (const Entry& entry : near_) {
    if (entry.key.when > latest_start.time_since_epoch().count()) break;
    if (entry.cls <= cls) work += entry.cost;
  }
  return work;
}

}  // namespace mezzo::sched::internal
