#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/sched/internal/flows.h"

namespace mezzo::sched::internal {

/// Queued items with deadlines, by the latest time at which they must start.
///
/// The first hundred or so stand in one sorted array, so that the question "would all of them still start in
/// time if this work went first?" is one pass over contiguous memory; the rest waits in a heap. Latest starts
/// and costs are those of the time of insertion or of the last Update().
class DeadlineLine {
 public:
  /// Costs are taken this much higher than expected, so that noise does not break promises.
  static constexpr double kSafety = 1.25;

  void Insert(WorkItem& item, TimePoint latest_start);
  void Remove(WorkItem& item);
  /// Moves an item that stands first.
  void UpdateFirst(TimePoint latest_start);

  [[nodiscard]] bool empty() const { return near_.empty(); }
  [[nodiscard]] WorkItem* first() const { return near_.front().item; }
  [[nodiscard]] TimePoint first_latest_start() const {
    return near_.empty() ? kNever : TimePoint(Duration(near_.front().key.when));
  }

  /// The slots as a fluid: when each is done with what it runs now, summed over the slots.
  struct Device {
    double free_sum = 0;  // ns since the epoch of TimePoint, summed.
    double slots = 1;
  };
  /// How much more device time, in ns, can go ahead of the items that need not start before `after` without
  /// making one of them late that otherwise would not be; infinite when there are none. Only items of class
  /// `cls` or more urgent are considered, and not `except`.
  [[nodiscard]] double Slack(Class cls, TimePoint after, const Device& device, const WorkItem* except) const;
  /// Whether running `item` now, for `work` ns more, instead of later, for its own cost, makes an item late.
  [[nodiscard]] bool Hurts(const WorkItem& item, double work, const Device& device) const;
  /// The first item of class `cls` or more urgent that `fits`, or nullptr.
  template <typename Fits>
  [[nodiscard]] WorkItem* FirstThat(Class cls, const Fits& fits) const {
    for (const Entry& entry : near_) {
      if (entry.cls <= cls && fits(*entry.item)) return entry.item;
    }
    return nullptr;
  }
  /// The device time of items of class `cls` or more urgent that must start before `latest_start`.
  [[nodiscard]] double WorkBefore(TimePoint latest_start, Class cls) const;

 private:
  struct Entry {
    ItemKey key;
    double cost;
    WorkItem* item;
    Class cls;  // Here too, so that a pass touches no item.
  };
  static constexpr std::size_t kMostNear = 128;
  static constexpr std::size_t kLeastNear = 32;

  void InsertNear(const Entry& entry);
  void Rebalance();

  std::vector<Entry> near_;  // Every key in it is at most those in far_.
  Heap<ItemKey, WorkItem, ItemAccess::ExpiryPosition> far_;
};

}  // namespace mezzo::sched::internal
