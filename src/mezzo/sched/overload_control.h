#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mezzo/base/clock.h"
#include "mezzo/sched/statistics.h"
#include "mezzo/sched/work_item.h"

namespace mezzo::sched {

/// Who gives way under overload, first to last: tenants of the free tier, then class bulk, then the rest.
enum class ShedGroup : std::uint8_t { kFree, kBulk, kRest };
inline constexpr std::size_t kShedGroupCount = 3;

/// Protects a device from more work than it can do: tells when there is too much, how much may come in, and
/// whose work that is.
///
/// - **Signal**: how long items waited while the device was busy, over what is fine for them: a target for
///   their class, so many of their own predicted runs, and the longest run of late. Work that costs more may
///   wait for longer, and who waits for one long run is no sign of overload. Of the items of a class that
///   start within an epoch the mean, weighted by cost; of the classes the worst. A device that had a free
///   slot and nothing for it has no standing queue, whatever single items waited ("CoDel": Nichols and
///   Jacobson, ACM Queue 2012). A full queue counts as a little too much.
/// - **Limit**: when the signal is over 1 for some epochs, predicted device time per second that may come in:
///   what the device lately began, times a factor that falls as the signal rises (the signal instead of
///   round-trip times in the manner of Netflix's Gradient2). It grows by a quarter for each epoch with an
///   idle slot, and ends when nothing had to be shed for a while.
/// - **Whose**: the limit goes to the groups in the reverse order of ShedGroup, so that nothing of a group is
///   shed while one before it gets anything (priorities as in DAGOR: Zhou et al., SoCC 2018). Within a group
///   each tenant gets its weight's worth of a fair rate; who asks for less loses nothing ("CSFQ": Stoica,
///   Shenker, Zhang, SIGCOMM 1998; with a credit for each flow instead of dice).
///
/// Pure logic, as Scheduler: no clock, no chance, not thread-safe. O(1) for each call.
class OverloadControl {
 public:
  struct Options {
    bool enabled = false;
    Duration target = std::chrono::seconds(1);  ///< Fine for class interactive; twice that for standard,
                                                ///< eight times for bulk.
    double target_runs = 10;                    ///< On top: of the item's own predicted run.
  };
  /// What one tenant offers to one group.
  struct Flow {
    double rate = 0;    // Predicted device nanoseconds per second, averaged.
    double credit = 1;  // Of items; one costs 1.
    TimePoint last{};
    bool seen = false;
  };
  struct Offer {
    Flow* flow = nullptr;
    ShedGroup group = ShedGroup::kRest;
    Class cls = Class::kStandard;
    double weight = 1;
    Duration cost{};       ///< Device time it adds.
    bool may_shed = true;  ///< Otherwise it is counted and let in.
  };

  explicit OverloadControl(Options options) : options_(options) {}

  [[nodiscard]] bool enabled() const { return options_.enabled; }
  /// Whether the item may come in.
  bool Admit(const Offer& offer, TimePoint now);
  /// An item starts to run that had been queued at `enqueued`. `run`: its own, as predicted.
  void OnStart(Class cls, TimePoint enqueued, Duration run, Duration cost, TimePoint now);
  /// A run of this length begins (as predicted) or has ended.
  void OnRun(Duration run, TimePoint now);
  /// A slot is free and nothing may run on it.
  void OnIdle(TimePoint now);
  /// An item found no room in a queue that all tenants share.
  void OnFull(TimePoint now);
  /// When who was shed should come back; differs from call to call, so that they don't come together.
  [[nodiscard]] Duration RetryAfter();
  [[nodiscard]] const OverloadStatistics& statistics() const { return stats_; }

 private:
  struct Group {
    double offered = 0;   // In this epoch; ns.
    double accepted = 0;  // The same.
    double rate = 0;      // Offered, averaged over epochs; ns a second.
    double most = 0;      // Of rate over weight of any flow in this epoch.
    double fair = -1;     // What each weight may bring: ns a second. Negative: anything.
  };
  void Roll(TimePoint now);
  void EndEpoch(double elapsed);
  void Allot(double elapsed);
  [[nodiscard]] Duration Longest(TimePoint now) const;

  const Options options_;
  TimePoint epoch_start_{};
  TimePoint idle_{};                         // The last moment with a slot to spare.
  std::array<double, kClassCount> delay_{};  // Sums over what started in this epoch: cost × signal, and cost.
  std::array<double, kClassCount> cost_{};
  double started_ = 0;  // Cost of what started in this epoch.
  double fixed_ = 0;    // Cost of what came in this epoch and can't be shed.
  double served_ = 0;   // ns a second, averaged.
  double fixed_rate_ = 0;
  bool idled_ = false;  // In this epoch.
  bool full_ = false;   // The same.
  bool shed_ = false;   // The same.
  int hot_ = 0;         // Epochs over the target, one behind the other.
  int calm_ = 0;        // Epochs without shedding, one behind the other.
  Duration longest_{};  // Run; decays.
  TimePoint longest_at_{};
  std::uint64_t answers_ = 0;
  std::array<Group, kShedGroupCount> groups_{};
  OverloadStatistics stats_;
};

}  // namespace mezzo::sched
