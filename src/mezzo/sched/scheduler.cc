#include "mezzo/sched/scheduler.h"

#include "mezzo/sched/internal/core.h"

namespace mezzo::sched {

Scheduler::Scheduler(Options options) : core_(std::make_unique<Core>(options)) {}
Scheduler::~Scheduler() = default;

ModelIndex Scheduler::AddModel(ModelOptions options) { return core_->AddModel(std::move(options)); }
void Scheduler::UpdateModel(ModelIndex model, ModelOptions options) {
  core_->UpdateModel(model, std::move(options));
}
void Scheduler::RemoveModel(ModelIndex model, std::vector<RefusedItem>& out) {
  core_->RemoveModel(model, out);
}
TenantIndex Scheduler::AddTenant(TenantOptions options) { return core_->AddTenant(std::move(options)); }
void Scheduler::SetTenant(TenantIndex tenant, TenantOptions options) {
  core_->SetTenant(tenant, std::move(options));
}
void Scheduler::SetSlots(std::uint32_t slots) { core_->SetSlots(slots); }

Result<void> Scheduler::Enqueue(WorkItem& item, TimePoint now) { return core_->Enqueue(item, now); }
Dispatched Scheduler::Dispatch(TimePoint now, Batch& out, Duration longest) {
  return core_->Dispatch(now, out, longest);
}
bool Scheduler::Complete(std::uint64_t batch, Duration measured, RunOutcome outcome, TimePoint now) {
  return core_->Complete(batch, measured, outcome, now);
}
void Scheduler::ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent) {
  core_->ChargeLoad(tenant, model, cls, spent);
}
bool Scheduler::Cancel(WorkItem& item) { return core_->Cancel(item); }
void Scheduler::TakeRefused(TimePoint now, std::vector<RefusedItem>& out) { core_->TakeRefused(now, out); }
bool Scheduler::has_refused() const { return core_->has_refused(); }
Error Scheduler::ErrorFor(const RefusedItem& refused, TimePoint now) const {
  return core_->ErrorFor(refused, now);
}
void Scheduler::TakeOverdue(TimePoint now, std::vector<std::uint64_t>& out) { core_->TakeOverdue(now, out); }
TimePoint Scheduler::NextEvent() const { return core_->NextEvent(); }
TimePoint Scheduler::waits_until() const { return core_->waits_until(); }

Duration Scheduler::PredictWait(TenantIndex tenant, ModelIndex model, Class cls, TimePoint now) const {
  return core_->PredictWait(tenant, model, cls, now);
}
Duration Scheduler::PredictRun(ModelIndex model, std::uint64_t batch_key, std::uint32_t rows) const {
  return core_->model(model).latency.For(batch_key).Expected(rows);
}

const OverloadStatistics& Scheduler::overload() const { return core_->overload(); }
std::size_t Scheduler::queued_items() const { return core_->queued_items(); }
std::uint32_t Scheduler::free_slots() const { return core_->free_slots(); }
Breaker::State Scheduler::breaker_state(ModelIndex model) const {
  return core_->model(model).breaker.state();
}
ModelStatistics Scheduler::StatisticsOf(ModelIndex model) const { return core_->model(model).stats; }
FlowStatistics Scheduler::StatisticsOf(TenantIndex tenant, Class cls) const {
  return core_->tenant(tenant).nodes[static_cast<std::size_t>(cls)].stats;
}
FlowStatistics Scheduler::StatisticsOf(Class cls) const { return core_->class_state(cls).stats; }

}  // namespace mezzo::sched
