#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/breaker.h"
#include "mezzo/sched/overload_control.h"
#include "mezzo/sched/statistics.h"
#include "mezzo/sched/work_item.h"

namespace mezzo::sched {

using runtime::Breaker;

/// Items of one model and batch key that run together. Dispatch() fills it and reuses its vector.
struct Batch {
  std::uint64_t id = 0;
  ModelIndex model{};
  std::uint64_t batch_key = 0;
  Class cls = Class::kStandard;
  std::uint32_t rows = 0;
  Duration predicted{};        ///< Expected run time.
  TimePoint overdue = kNever;  ///< When the watchdog calls it hung.
  std::vector<WorkItem*> items;
};

enum class Dispatched : std::uint8_t {
  kNothing,  ///< No free slot, or nothing that may run now; see also waits_until().
  kBatch,    ///< The batch is filled and counts as running until Complete().
  kTooLong,  ///< The next batch would run longer than the caller's limit; nothing changed.
};

/// An item that left the queue without running; Scheduler::ErrorFor() says it in words.
struct RefusedItem {
  WorkItem* item = nullptr;
  Refusal reason = Refusal::kDeadlineUnreachable;
};

/// Decides what the slots of one device run next: class ► tenant ► model ► batch, at the moment a slot is
/// free.
///
/// - Classes hold token buckets of device time; the most urgent backlogged class with tokens goes first; what
///   nobody claims is shared by start-time fair queueing (SFQ) over the classes. Buckets are refilled by
///   device time as it is spent, so overheads between runs cannot starve the last class.
/// - Inside a class: hierarchical SFQ (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996), tenants
/// by
///   weight, inside a tenant its models by weight, charged by predicted and then corrected to measured device
///   time. A flow that returns from idle starts at the present virtual time: credit is not banked (the "lift"
///   of VTC, Sheng et al., OSDI 2024).
/// - Inside a flow: earliest effective deadline first, min(deadline, enqueued + horizon).
/// - A batch is filled row by row from the tenants waiting for the same (class, model, key), the one served
/// least by
///   virtual time first; none gets more rows than the tenant that leads (scaled up by weight), so a light
///   tenant's batch is not stretched by a heavy one. It grows only while a high quantile of its predicted run
///   meets every deadline in it, and while items outside it can still start in time. Less urgent classes fill
///   what is left as long as they stretch the predicted run by a tenth at most.
/// - An item with a deadline is accepted when it is predicted to be in time and all accepted before it stay
/// so:
///   deadlines are promises, checked by earliest-deadline-first demand. To keep them, a pressing item goes
///   ahead of the fair order, as long as its tenant's lead over its share stays within `burst_window`.
/// - While a step of a more urgent chain runs and will be back sooner than the next batch would end, the
/// slots
///   that the chain's rows can use are left free for it ("anticipatory scheduling", Iyer and Druschel, SOSP
///   2001: the next request of a chain comes just after the choice was made). At most half as long again as
///   the step was predicted to take, and never against a deadline.
/// - A tenant may hold a queue's free space times share/(1-share) (dynamic thresholds: Choudhury and Hahne,
/// 1998), so
///   a flood never takes the last places.
///
/// Policy kFifo is today's practice, for comparison: arrival order over everything, batches of the head's
/// model and key, deadlines ignored.
///
/// Pure logic: no threads, no clock; every call is given the time, which must not go backwards. Not
/// thread-safe. No allocation per item in steady state. Every accepted item comes back exactly once: by
/// Complete(), TakeRefused(), Cancel() or RemoveModel().
class Scheduler {
 public:
  enum class Policy : std::uint8_t { kFair, kFifo };
  struct Options {
    std::uint32_t slots = 1;  ///< Runs at the same time.
    Policy policy = Policy::kFair;
    std::array<double, kClassCount> class_shares = {
        0.6, 0.3, 0.1};  ///< Guaranteed parts of device time; scaled to sum 1.
    Duration burst_window =
        std::chrono::milliseconds(200);           ///< Credit, debt and lag are capped at about this much.
    Duration horizon = std::chrono::seconds(10);  ///< No item is passed by later ones of its flow for longer.
    std::size_t max_queued_items = 65536;
    double tenant_queue_share =
        0.8;  ///< The most of a queue that one of several tenants may hold; 1: all of it.
    std::size_t max_idle_flows = 65536;  ///< Idle flows whose past service is remembered.
    OverloadControl::Options
        overload;  ///< Of kFair. When on, the last tenth of a queue takes no class bulk, and
                   ///< the last quarter no free tier as long as another tenant is not of it.
  };
  struct ModelOptions {
    std::string name;  ///< For messages.
    std::uint32_t max_batch_rows = 1;
    std::size_t max_queued_items = 1024;
    std::uint32_t max_concurrent = 1;  ///< Instances.
    double weight = 1;                 ///< Against other models of the same tenant.
    Duration max_queue_delay{};  ///< A queue shorter than a batch lets others go first for this long; never
                                 ///< idles a slot.
    double watchdog_multiple = 20;                       ///< Of the predicted run (high quantile).
    Duration watchdog_floor = std::chrono::seconds(10);  ///< No run is called hung sooner.
    bool may_run_long = false;  ///< Whatever is predicted: never started with a bound on the predicted run.
    Breaker::Options breaker;
    Duration prior_cost =
        std::chrono::milliseconds(5);  ///< Assumed run of one row before the first measurement.
    double prior_marginal = 1;  ///< Assumed cost of a further row in a batch, over that of a row alone.
  };
  struct TenantOptions {
    std::string name;  ///< For messages.
    double weight = 1;
    bool free_tier = false;  ///< The first to be shed.
  };

  explicit Scheduler(Options options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  ModelIndex AddModel(ModelOptions options);
  /// Keeps the queue, what was learned and the breaker's state.
  void UpdateModel(ModelIndex model, ModelOptions options);
  /// Appends the model's queued items to `out`. Runs in progress complete as usual, then the index may be
  /// reused.
  void RemoveModel(ModelIndex model, std::vector<RefusedItem>& out);
  TenantIndex AddTenant(TenantOptions options);
  void SetTenant(TenantIndex tenant, TenantOptions options);
  void SetSlots(std::uint32_t slots);

  /// Queues `item` or refuses it: kInvalidArgument "batch_too_large"; kUnavailable, with the time to come
  /// back after, "queue_full", "overloaded", "breaker_open" or "deadline_unreachable" (predicted start + high
  /// quantile of its run > deadline).
  Result<void> Enqueue(WorkItem& item, TimePoint now);

  /// Starts the next batch on a free slot unless its run may exceed `longest`. May refuse queued items
  /// that can no longer meet their deadline: call TakeRefused() afterwards when has_refused().
  Dispatched Dispatch(TimePoint now, Batch& out, Duration longest = Duration::max());

  /// Ends a run. `measured` device time is charged to the tenants by rows, and teaches the latency model when
  /// the run is kOk. kModelFault counts against the model's breaker. False for an unknown batch id.
  bool Complete(std::uint64_t batch, Duration measured, RunOutcome outcome, TimePoint now);

  /// Charges device time spent on behalf of a flow outside of a batch, such as loading a cold model.
  void ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent);

  /// True when the item was queued and now is not (O(log n)). False when it runs (then marked cancelled) or
  /// is not here.
  bool Cancel(WorkItem& item);

  /// Appends every item to be failed now: deadlines that cannot be met any more, and queues of models whose
  /// breaker opened.
  void TakeRefused(TimePoint now, std::vector<RefusedItem>& out);
  [[nodiscard]] bool has_refused() const;
  [[nodiscard]] Error ErrorFor(const RefusedItem& refused, TimePoint now) const;

  /// Appends the ids of runs that became overdue, each once; trips their models' breakers. They keep their
  /// slots until Complete(); SetSlots() can make up for them.
  void TakeOverdue(TimePoint now, std::vector<std::uint64_t>& out);

  /// When TakeRefused() or TakeOverdue() will next have something without any other call; kNever if not
  /// foreseen.
  [[nodiscard]] TimePoint NextEvent() const;

  /// How long a one-row item arriving now would wait before it starts.
  [[nodiscard]] Duration PredictWait(TenantIndex tenant, ModelIndex model, Class cls, TimePoint now) const;
  /// Expected run time of a batch.
  [[nodiscard]] Duration PredictRun(ModelIndex model, std::uint64_t batch_key, std::uint32_t rows) const;

  /// Until when the last Dispatch() left a slot free for a chain's next step; kNever when it did not.
  [[nodiscard]] TimePoint waits_until() const;

  [[nodiscard]] const OverloadStatistics& overload() const;
  [[nodiscard]] std::size_t queued_items() const;
  [[nodiscard]] std::uint32_t free_slots() const;
  [[nodiscard]] Breaker::State breaker_state(ModelIndex model) const;
  [[nodiscard]] ModelStatistics StatisticsOf(ModelIndex model) const;
  [[nodiscard]] FlowStatistics StatisticsOf(TenantIndex tenant, Class cls) const;
  [[nodiscard]] FlowStatistics StatisticsOf(Class cls) const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace mezzo::sched
