#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mezzo/sched/internal/backlog.h"
#include "mezzo/sched/internal/batch_former.h"
#include "mezzo/sched/internal/flow_tree.h"
#include "mezzo/sched/internal/flows.h"
#include "mezzo/sched/internal/forecast.h"
#include "mezzo/sched/scheduler.h"

namespace mezzo::sched {

/// What stands behind Scheduler: admission, the life of batches, breakers and counters, on top of the flow
/// tree, the backlog, the batch former and the forecast.
class Scheduler::Core {
 public:
  explicit Core(Options options);

  ModelIndex AddModel(ModelOptions options);
  void UpdateModel(ModelIndex index, ModelOptions options);
  void RemoveModel(ModelIndex index, std::vector<RefusedItem>& out);
  TenantIndex AddTenant(TenantOptions options);
  void SetTenant(TenantIndex index, TenantOptions options);
  void SetSlots(std::uint32_t slots);

  Result<void> Enqueue(WorkItem& item, TimePoint now);
  Dispatched Dispatch(TimePoint now, Batch& out, Duration longest);
  bool Complete(std::uint64_t batch, Duration measured, RunOutcome outcome, TimePoint now);
  void ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent);
  bool Cancel(WorkItem& item);

  void TakeRefused(TimePoint now, std::vector<RefusedItem>& out);
  [[nodiscard]] bool has_refused() const { return !refused_.empty(); }
  [[nodiscard]] Error ErrorFor(const RefusedItem& refused, TimePoint now) const;
  void TakeOverdue(TimePoint now, std::vector<std::uint64_t>& out);
  [[nodiscard]] TimePoint NextEvent() const;
  [[nodiscard]] TimePoint waits_until() const { return waits_until_; }

  [[nodiscard]] Duration PredictWait(TenantIndex tenant, ModelIndex model, Class cls, TimePoint now);
  [[nodiscard]] const internal::Model& model(ModelIndex index) const;
  [[nodiscard]] const internal::Tenant& tenant(TenantIndex index) const;
  [[nodiscard]] const internal::ClassState& class_state(Class cls) const { return tree_.class_state(cls); }
  [[nodiscard]] const OverloadStatistics& overload() const { return overload_.statistics(); }
  [[nodiscard]] std::size_t queued_items() const { return backlog_.size(); }
  [[nodiscard]] std::uint32_t free_slots() const;

 private:
  internal::Model& ModelAt(ModelIndex index);
  internal::Tenant& TenantAt(TenantIndex index);
  internal::Node& NodeFor(const WorkItem& item);
  void Tick(TimePoint now);

  Result<void> Admit(WorkItem& item, internal::Model& model, internal::Tenant& tenant, TimePoint now);
  /// Refuses what is shed.
  Result<void> AdmitByLoad(const WorkItem& item, const internal::Model& model, internal::Tenant& tenant,
                           TimePoint now);
  [[nodiscard]] static ShedGroup GroupOf(const WorkItem& item, const internal::Tenant& tenant);
  /// What of a queue the item may fill.
  [[nodiscard]] std::size_t LimitFor(const WorkItem& item, const internal::Tenant& tenant,
                                     std::size_t limit) const;
  Result<void> AdmitToQueue(const WorkItem& item, const internal::Model& model,
                            const internal::Tenant& tenant, TimePoint now);
  Result<void> AdmitByDeadline(WorkItem& item, internal::Model& model, internal::Tenant& tenant,
                               TimePoint now);
  /// Whether the item, when it becomes pressing, goes ahead of the fair order.
  [[nodiscard]] bool MayJumpAhead(const WorkItem& item, const internal::Tenant& tenant) const;
  /// Whether the item, started as late as it may, still finds room, and leaves room for what was accepted
  /// before.
  bool KeepsPromises(const WorkItem& item, const internal::Model& model, const internal::Tenant& tenant,
                     TimePoint now);
  double RoomForOthers(const internal::Node& node, double cost, TimePoint now);
  /// Whether the flow's promises up to the item's deadline stay within its share of the device, when others
  /// are being refused. Without that, flows with long deadlines would promise the device away, far ahead.
  bool KeepsToShare(const WorkItem& item, const internal::Model& model, const internal::Tenant& tenant,
                    TimePoint now);
  /// Notes that the flow wanted more than it got.
  void Contend(const WorkItem& item, internal::Model& model, internal::Tenant& tenant, TimePoint now);
  Result<void> AdmitByBreaker(WorkItem& item, internal::Model& model, TimePoint now);
  Duration RetryAfterQueue(const WorkItem& item, TimePoint now);

  void CountQueued(const WorkItem& item, int direction);
  void CountRefused(const WorkItem& item, Refusal reason);
  /// The item has left the queue without running and goes to the caller by TakeRefused().
  void Refuse(WorkItem& item, Refusal reason);
  void RefuseHopeless(TimePoint now);
  void RefuseQueueOf(internal::Model& model, Refusal reason, std::vector<RefusedItem>& out);

  /// Slots that could run the model of `lead` beside the batch to be formed, if nothing else waits for them.
  [[nodiscard]] std::uint32_t IdleBeside(const internal::Subqueue& lead) const;
  /// Whether the slot had better wait for a more urgent chain whose step runs; sets waits_until_.
  bool AwaitsChain(const internal::Subqueue& lead, TimePoint now);
  [[nodiscard]] internal::DeadlineLine::Device DeviceAt(TimePoint now, bool cautious) const;
  /// Device time that can go before the queued items with deadlines, other than the first of `lead`.
  [[nodiscard]] double SlackBeside(const internal::Subqueue& lead,
                                   const internal::DeadlineLine::Device& device) const;
  [[nodiscard]] Duration RunOfFirst(const internal::Subqueue& lead) const;
  /// What has to run instead of the fair choice for deadlines to be kept, or nullptr.
  [[nodiscard]] internal::Subqueue* PressingInstead(const internal::Subqueue& lead, TimePoint now) const;
  [[nodiscard]] Duration LikelyRun(const internal::Subqueue& lead) const;
  void Start(internal::Running& run, bool from_tokens, TimePoint now, Batch& out);
  /// Charges the classes of the run's riders by rows.
  void ChargeClasses(const internal::Running& run, double cost);
  void Account(const internal::Running& run, double charged, bool ok);
  void Retire(internal::Model& model);

  Options options_;
  internal::FlowTree tree_;
  internal::Backlog backlog_;
  internal::BatchFormer former_;
  internal::Forecast forecast_;
  OverloadControl overload_;
  std::size_t paid_tenants_ = 0;  // Those that are not of the free tier.
  std::vector<std::unique_ptr<internal::Model>> models_;
  std::vector<std::uint32_t> free_models_;
  std::vector<std::unique_ptr<internal::Tenant>> tenants_;
  internal::Tenant everybody_;  // FIFO hangs all work under its first node.
  internal::Pool<internal::Running> run_pool_;
  std::vector<internal::Running*> running_;
  std::vector<RefusedItem> refused_;
  std::vector<WorkItem*> hopeless_;  // Scratch of Dispatch().
  std::vector<const void*> chains_;  // Scratch of AwaitsChain().
  TimePoint waits_until_ = kNever;
  TimePoint last_tick_{};
  double light_cost_ = 0;    // ns; what items of tenants with little queued cost lately ...
  TimePoint light_until_{};  // ... and until when that counts.
  std::uint64_t batches_ = 0;
  std::uint64_t ids_ = 0;
};

}  // namespace mezzo::sched
