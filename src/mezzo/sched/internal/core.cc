#include "mezzo/sched/internal/core.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"

namespace mezzo::sched {

using internal::ClassState;
using internal::DeadlineLine;
using internal::ItemAccess;
using internal::Leaf;
using internal::Model;
using internal::ModelClass;
using internal::Node;
using internal::Running;
using internal::Subqueue;
using internal::Tenant;

namespace {

constexpr Duration kShortestRetry = std::chrono::milliseconds(1);
constexpr Duration kMeasurementLife = std::chrono::seconds(1);
constexpr Duration kTrialGap = std::chrono::milliseconds(100);
constexpr double kLightCostGain = 0.1;
constexpr double kLateness = 1.5;  // Of the predicted run: how long a chain's step is waited for.
constexpr double kLeastWeight = 1e-3;
constexpr double kMostWeight = 1e6;

double SaneWeight(double weight) {
  return weight == weight ? std::clamp(weight, kLeastWeight, kMostWeight) : 1.0;
}

void MakeSane(Scheduler::ModelOptions& options) {
  options.weight = SaneWeight(options.weight);
  options.max_batch_rows = std::max<std::uint32_t>(1, options.max_batch_rows);
  options.max_concurrent = std::max<std::uint32_t>(1, options.max_concurrent);
}

void HangUnder(Tenant& tenant, internal::FlowTree& tree) {
  for (std::size_t i = 0; i < kClassCount; ++i) {
    tenant.nodes[i].tenant = &tenant;
    tenant.nodes[i].class_state = &tree.class_state(static_cast<Class>(i));
  }
}

double Nanoseconds(Duration duration) { return static_cast<double>(duration.count()); }

/// Refusals of this and the last epoch tell who contends. Starts at 2, so that no flow contends at first.
std::uint64_t ContentionEpoch(TimePoint now) {
  constexpr Duration kEpoch = std::chrono::milliseconds(250);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, now.time_since_epoch() / kEpoch)) + 2;
}

std::size_t At(Class cls) { return static_cast<std::size_t>(cls); }

}  // namespace

Scheduler::Core::Core(Options options)
    : options_(options),
      tree_(options_),
      backlog_(options_, tree_),
      former_(options_, backlog_),
      forecast_(tree_, backlog_),
      overload_(options_.policy == Policy::kFair ? options_.overload : OverloadControl::Options()) {
  options_.slots = std::max<std::uint32_t>(1, options_.slots);
  options_.tenant_queue_share = std::clamp(options_.tenant_queue_share, 0.01, 1.0);
  HangUnder(everybody_, tree_);
}

Model& Scheduler::Core::ModelAt(ModelIndex index) {
  const auto i = static_cast<std::size_t>(index);
  MEZZO_CHECK(i < models_.size() && models_[i] != nullptr);
  return *models_[i];
}

const Model& Scheduler::Core::model(ModelIndex index) const {
  return const_cast<Core*>(this)->ModelAt(index);
}

Tenant& Scheduler::Core::TenantAt(TenantIndex index) {
  const auto i = static_cast<std::size_t>(index);
  MEZZO_CHECK(i < tenants_.size());
  return *tenants_[i];
}

const Tenant& Scheduler::Core::tenant(TenantIndex index) const {
  return const_cast<Core*>(this)->TenantAt(index);
}

Node& Scheduler::Core::NodeFor(const WorkItem& item) {
  if (options_.policy == Policy::kFifo) return everybody_.nodes[0];
  return TenantAt(item.tenant).nodes[At(item.cls)];
}

ModelIndex Scheduler::Core::AddModel(ModelOptions options) {
  MakeSane(options);
  std::uint32_t index = static_cast<std::uint32_t>(models_.size());
  if (free_models_.empty()) {
    models_.emplace_back();
  } else {
    index = free_models_.back();
    free_models_.pop_back();
  }
  models_[index] = std::make_unique<Model>(std::move(options));
  Model& model = *models_[index];
  model.index = index;
  for (std::size_t i = 0; i < kClassCount; ++i) {
    model.classes[i].model = &model;
    model.classes[i].class_state = &tree_.class_state(static_cast<Class>(i));
    model.classes[i].id = ++ids_;
  }
  return ModelIndex{index};
}

void Scheduler::Core::UpdateModel(ModelIndex index, ModelOptions options) {
  MakeSane(options);
  Model& model = ModelAt(index);
  // What is queued and does not fit a smaller batch any more would wait for ever.
  options.max_batch_rows =
      std::max(options.max_batch_rows, model.stats.queued_items > 0 ? model.options.max_batch_rows : 1);
  const bool had = model.HasInstance();
  model.options = std::move(options);
  model.breaker.SetOptions(model.options.breaker);
  if (had && !model.HasInstance()) tree_.LastInstanceTaken(model);
  if (!had && model.HasInstance()) tree_.FirstInstanceFreed(model);
}

void Scheduler::Core::RemoveModel(ModelIndex index, std::vector<RefusedItem>& out) {
  Model& model = ModelAt(index);
  RefuseQueueOf(model, Refusal::kModelRemoved, out);
  model.removed = true;
  Retire(model);
}

void Scheduler::Core::Retire(Model& model) {
  if (!model.removed || model.stats.running_batches > 0 || !backlog_.ForgetFlows(model)) return;
  free_models_.push_back(model.index);
  models_[model.index].reset();
}

TenantIndex Scheduler::Core::AddTenant(TenantOptions options) {
  const TenantIndex index{static_cast<std::uint32_t>(tenants_.size())};
  tenants_.push_back(std::make_unique<Tenant>());
  HangUnder(*tenants_.back(), tree_);
  ++paid_tenants_;  // As which it begins.
  SetTenant(index, std::move(options));
  return index;
}

void Scheduler::Core::SetTenant(TenantIndex index, TenantOptions options) {
  Tenant& tenant = TenantAt(index);
  paid_tenants_ += tenant.options.free_tier ? 1 : 0;
  paid_tenants_ -= options.free_tier ? 1 : 0;
  tenant.options = std::move(options);
  for (Node& node : tenant.nodes) node.weight = SaneWeight(tenant.options.weight);
}

void Scheduler::Core::SetSlots(std::uint32_t slots) {
  options_.slots = std::max<std::uint32_t>(1, slots);
  tree_.SetSlots(options_.slots);
}

std::uint32_t Scheduler::Core::free_slots() const {
  return options_.slots > running_.size() ? options_.slots - static_cast<std::uint32_t>(running_.size()) : 0;
}

void Scheduler::Core::Tick(TimePoint now) {
  if (backlog_.size() == 0 && now > last_tick_) {
    // A long pause fills every bucket anyway; the cap keeps the first call, from time zero, harmless.
    const Duration pause = std::min<Duration>(now - last_tick_, std::chrono::hours(1));
    tree_.RefillIdle(static_cast<double>(pause.count()) * free_slots());
  }
  last_tick_ = now;
}

Result<void> Scheduler::Core::Enqueue(WorkItem& item, TimePoint now) {
  MEZZO_CHECK(item.state() != WorkItem::State::kQueued && item.state() != WorkItem::State::kRunning);
  Model& model = ModelAt(item.model);
  Tenant& tenant = TenantAt(item.tenant);
  Tick(now);
  MEZZO_TRY_VOID(Admit(item, model, tenant, now));
  backlog_.Insert(item, NodeFor(item), model, now);
  CountQueued(item, 1);
  return {};
}

Result<void> Scheduler::Core::Admit(WorkItem& item, Model& model, Tenant& tenant, TimePoint now) {
  if (model.removed) {
    CountRefused(item, Refusal::kModelRemoved);
    return Unavailable("model_removed", fmt::format("model '{}' has been unloaded", model.options.name));
  }
  if (item.rows == 0 || item.rows > model.options.max_batch_rows) {
    CountRefused(item, Refusal::kBatchTooLarge);
    return InvalidArgument("batch_too_large",
                           fmt::format("{} rows for model '{}', which takes 1 to {} at once", item.rows,
                                       model.options.name, model.options.max_batch_rows));
  }
  if (overload_.enabled()) MEZZO_TRY_VOID(AdmitByLoad(item, model, tenant, now));
  MEZZO_TRY_VOID(AdmitToQueue(item, model, tenant, now));
  ItemAccess::Timed(item) = options_.policy == Policy::kFair && item.deadline < kNever;
  if (ItemAccess::Timed(item)) MEZZO_TRY_VOID(AdmitByDeadline(item, model, tenant, now));
  return AdmitByBreaker(item, model, now);
}

Duration Scheduler::Core::RetryAfterQueue(const WorkItem& item, TimePoint now) {
  return std::max(kShortestRetry, PredictWait(item.tenant, item.model, item.cls, now));
}

Result<void> Scheduler::Core::AdmitToQueue(const WorkItem& item, const Model& model, const Tenant& tenant,
                                           TimePoint now) {
  const std::size_t in_model = model.stats.queued_items;
  const std::size_t most_of_model = LimitFor(item, tenant, model.options.max_queued_items);
  const std::size_t most_of_device = LimitFor(item, tenant, options_.max_queued_items);
  std::string full;
  if (in_model >= most_of_model) {
    full =
        fmt::format("model '{}' has {} items queued, limit {}", model.options.name, in_model, most_of_model);
    overload_.OnFull(now);
  } else if (backlog_.size() >= most_of_device) {
    full = fmt::format("{} items are queued on the device of model '{}', limit {}", backlog_.size(),
                       model.options.name, most_of_device);
    overload_.OnFull(now);
  } else if (tenants_.size() > 1 && options_.tenant_queue_share < 1 && options_.policy == Policy::kFair) {
    const double alpha = options_.tenant_queue_share / (1 - options_.tenant_queue_share);
    const auto limit_of = [alpha](std::size_t limit, std::size_t used) {
      return std::max<std::size_t>(1, static_cast<std::size_t>(alpha * static_cast<double>(limit - used)));
    };
    const std::size_t of_device = limit_of(options_.max_queued_items, backlog_.size());
    if (tenant.queued_items >= of_device) {
      full = fmt::format("tenant '{}' has {} items queued on the device of model '{}', its limit is now {}",
                         tenant.options.name, tenant.queued_items, model.options.name, of_device);
    } else if (const std::size_t of_model = limit_of(model.options.max_queued_items, in_model);
               tenant.queued_items >= of_model) {
      // Only now is it worth looking up how many of the tenant's items are this model's.
      std::size_t held = 0;
      for (std::size_t i = 0; i < kClassCount; ++i) {
        const Leaf* leaf = backlog_.FindLeaf(tenant.nodes[i], model.classes[i]);
        if (leaf != nullptr) held += leaf->queued_items;
      }
      if (held >= of_model) {
        full = fmt::format("tenant '{}' has {} items queued for model '{}', its limit is now {}",
                           tenant.options.name, held, model.options.name, of_model);
      }
    }
  }
  if (full.empty()) return {};
  CountRefused(item, Refusal::kQueueFull);
  return Unavailable("queue_full", "Exceeds maximum queue size: " + full)
      .WithRetryAfter(RetryAfterQueue(item, now));
}

Result<void> Scheduler::Core::AdmitByDeadline(WorkItem& item, Model& model, Tenant& tenant, TimePoint now) {
  if (item.deadline <= now) {
    CountRefused(item, Refusal::kDeadlineExpired);
    return DeadlineExceeded(
        "deadline_unreachable",
        fmt::format("model '{}': the deadline passed {:.3f} ms before the request reached the queue",
                    model.options.name, Seconds(now - item.deadline) * 1e3));
  }
  const internal::Forecast::Prediction prediction = forecast_.Predict({.tenant = &tenant,
                                                                       .model = &model,
                                                                       .cls = item.cls,
                                                                       .batch_key = item.batch_key,
                                                                       .rows = item.rows,
                                                                       .deadline = item.deadline},
                                                                      running_, options_.slots, now);
  const Duration needed = prediction.wait + prediction.run;
  const bool in_turn = now + needed <= item.deadline;
  if ((in_turn || MayJumpAhead(item, tenant)) && KeepsToShare(item, model, tenant, now) &&
      KeepsPromises(item, model, tenant, now)) {
    return {};
  }
  // A guess, or a measurement from another time, must not refuse for ever what it could learn from: an idle
  // model gets a trial, whose deadline nobody promises.
  const bool idle = model.stats.queued_items == 0 && model.stats.running_batches == 0;
  const bool stale =
      model.latency.For(item.batch_key).samples() == 0 || now - model.last_measured > kTrialGap;
  if (idle && stale) {
    ItemAccess::Timed(item) = false;
    return {};
  }
  Contend(item, model, tenant, now);
  CountRefused(item, Refusal::kDeadlineUnreachable);
  const double left = Seconds(item.deadline - now) * 1e3;
  if (in_turn) {
    return Unavailable(
               "deadline_unreachable",
               fmt::format("model '{}': until the deadline in {:.3f} ms the device is promised to what was "
                           "accepted before",
                           model.options.name, left))
        .WithRetryAfter(std::max(kShortestRetry, prediction.run));
  }
  return Unavailable(
             "deadline_unreachable",
             fmt::format("model '{}': predicted wait {:.3f} ms and run {:.3f} ms exceed the deadline in "
                         "{:.3f} ms",
                         model.options.name, Seconds(prediction.wait) * 1e3, Seconds(prediction.run) * 1e3,
                         left))
      .WithRetryAfter(std::max(kShortestRetry, now + needed - item.deadline));
}

bool Scheduler::Core::MayJumpAhead(const WorkItem& item, const Tenant& tenant) const {
  for (std::size_t i = 0; i < At(item.cls); ++i) {
    if (tree_.class_state(static_cast<Class>(i)).queued_cost > 0) return false;
  }
  // Half of what PressingInstead() allows: what is accepted here still has to find it open later.
  return tree_.Lead(tenant.nodes[At(item.cls)]) < tree_.lag_limit() / 2;
}

bool Scheduler::Core::KeepsToShare(const WorkItem& item, const Model& model, const Tenant& tenant,
                                   TimePoint now) {
  const Node& node = tenant.nodes[At(item.cls)];
  const ModelClass& model_class = model.classes[At(item.cls)];
  const Leaf* leaf = backlog_.FindLeaf(node, model_class);
  if (leaf == nullptr || leaf->queued_items == 0) return true;
  const std::uint64_t epoch = ContentionEpoch(now);
  const auto share = [epoch](double own, const internal::Contender& flow, internal::Contenders all) {
    all.RollTo(epoch);
    const double others = all.Weight() - (flow.Contends(epoch) ? own : 0);
    return own / (own + std::max(0.0, others));
  };
  const double part = share(model.options.weight, leaf->contender, node.contending) *
                      share(node.weight, node.contender, node.class_state->contending);
  if (part >= 1) return true;
  const internal::Lane* lane = backlog_.FindLane(model_class, item.batch_key);
  const Duration cost = backlog_.CostOf(item.rows, item.batch_key, model, lane);
  // Riding along is what makes an overloaded device do more: it is not held back.
  if (2 * cost < model.latency.For(item.batch_key).Expected(item.rows)) return true;
  const double room = part * options_.slots * Nanoseconds(item.deadline - now);
  return DeadlineLine::kSafety * Nanoseconds(Duration(leaf->queued_cost) + cost) <= room;
}

void Scheduler::Core::Contend(const WorkItem& item, Model& model, Tenant& tenant, TimePoint now) {
  Node& node = tenant.nodes[At(item.cls)];
  Leaf& leaf = backlog_.LeafOf(node, model.classes[At(item.cls)]);
  const std::uint64_t epoch = ContentionEpoch(now);
  const auto note = [epoch](double own, internal::Contender& flow, internal::Contenders& all) {
    all.RollTo(epoch);
    if (flow.epoch == epoch) return;
    flow.epoch = epoch;
    all.present += own;
  };
  note(model.options.weight, leaf.contender, node.contending);
  note(node.weight, node.contender, node.class_state->contending);
}

bool Scheduler::Core::KeepsPromises(const WorkItem& item, const Model& model, const Tenant& tenant,
                                    TimePoint now) {
  const DeadlineLine& line = backlog_.deadlines();
  const DeadlineLine::Device device = DeviceAt(now, true);
  const internal::Lane* lane = backlog_.FindLane(model.classes[At(item.cls)], item.batch_key);
  const double cost =
      DeadlineLine::kSafety * Nanoseconds(backlog_.CostOf(item.rows, item.batch_key, model, lane));
  const double kept_free = RoomForOthers(tenant.nodes[At(item.cls)], cost, now);
  const TimePoint latest = item.deadline - model.latency.For(item.batch_key).High(item.rows);
  const double own_room = Nanoseconds(latest.time_since_epoch()) * device.slots - device.free_sum;
  if (line.WorkBefore(latest, item.cls) + kept_free > own_room) return false;
  return line.Slack(item.cls, latest, device, nullptr) >= cost + kept_free;
}

double Scheduler::Core::RoomForOthers(const Node& node, double cost, TimePoint now) {
  if (tenants_.size() < 2 || node.class_state->queued_cost == 0) return 0;
  // Promises to a tenant that holds most of the backlog must not fill the device to the brim: the next item
  // of a tenant with little in the queue would find no room, though its turn comes first.
  if (node.queued_cost > 0 && 2 * node.queued_cost >= node.class_state->queued_cost) {
    return now < light_until_ ? light_cost_ : 0;
  }
  light_cost_ += (now < light_until_ ? kLightCostGain : 1) * (cost - light_cost_);
  light_until_ = now + kMeasurementLife;
  return 0;
}

Result<void> Scheduler::Core::AdmitByBreaker(WorkItem& item, Model& model, TimePoint now) {
  ItemAccess::Probe(item) = false;
  switch (model.breaker.Admit(now)) {
    case Breaker::Admission::kYes:
      return {};
    case Breaker::Admission::kProbe:
      ItemAccess::Probe(item) = true;
      return {};
    case Breaker::Admission::kNo:
      break;
  }
  CountRefused(item, Refusal::kBreakerOpen);
  return ErrorFor({.item = &item, .reason = Refusal::kBreakerOpen}, now);
}

void Scheduler::Core::CountQueued(const WorkItem& item, int direction) {
  const auto by = static_cast<std::uint64_t>(static_cast<std::int64_t>(direction));  // Wraps to -1.
  Tenant& tenant = TenantAt(item.tenant);
  tenant.queued_items += by;
  tenant.nodes[At(item.cls)].stats.queued_items += by;
  tree_.class_state(item.cls).stats.queued_items += by;
}

void Scheduler::Core::CountRefused(const WorkItem& item, Refusal reason) {
  const auto i = static_cast<std::size_t>(reason);
  ++ModelAt(item.model).stats.refused[i];
  ++TenantAt(item.tenant).nodes[At(item.cls)].stats.refused[i];
  ++tree_.class_state(item.cls).stats.refused[i];
}

void Scheduler::Core::Refuse(WorkItem& item, Refusal reason) {
  CountQueued(item, -1);
  CountRefused(item, reason);
  if (ItemAccess::Probe(item)) ModelAt(item.model).breaker.OnProbeGone();
  refused_.push_back({&item, reason});
}

void Scheduler::Core::RefuseHopeless(TimePoint now) {
  while (WorkItem* item = backlog_.FindHopeless(now)) {
    backlog_.Remove(*item);
    Refuse(*item, Refusal::kDeadlineExpired);
  }
}

void Scheduler::Core::RefuseQueueOf(Model& model, Refusal reason, std::vector<RefusedItem>& out) {
  for (ModelClass& model_class : model.classes) {
    while (model_class.active_leaves > 0) {
      Leaf* leaf = backlog_.AnyFlowOf(model_class);
      while (leaf->queued_items > 0) {
        WorkItem& item = *leaf->subqueues.top()->items.top();
        backlog_.Remove(item);
        CountQueued(item, -1);
        CountRefused(item, reason);
        out.push_back({&item, reason});
      }
    }
  }
}

bool Scheduler::Core::Cancel(WorkItem& item) {
  if (item.state() == WorkItem::State::kRunning) ItemAccess::Cancelled(item) = true;
  if (item.state() != WorkItem::State::kQueued) return false;
  backlog_.Remove(item);
  CountQueued(item, -1);
  ItemAccess::Cancelled(item) = true;
  if (ItemAccess::Probe(item)) ModelAt(item.model).breaker.OnProbeGone();
  ++ModelAt(item.model).stats.cancelled_items;
  ++TenantAt(item.tenant).nodes[At(item.cls)].stats.cancelled_items;
  ++tree_.class_state(item.cls).stats.cancelled_items;
  return true;
}

void Scheduler::Core::TakeRefused(TimePoint now, std::vector<RefusedItem>& out) {
  RefuseHopeless(now);
  out.insert(out.end(), refused_.begin(), refused_.end());
  refused_.clear();
}

Error Scheduler::Core::ErrorFor(const RefusedItem& refused, TimePoint now) const {
  const WorkItem& item = *refused.item;
  // A removed model's slot may be gone already.
  if (refused.reason == Refusal::kModelRemoved)
    return Unavailable("model_removed", "the model has been unloaded");
  const Model& owner = model(item.model);
  if (refused.reason == Refusal::kBreakerOpen) {
    const Duration wait = std::max(kShortestRetry, owner.breaker.retry_at() - now);
    return Unavailable("breaker_open",
                       fmt::format("model '{}' failed too often or hung; it is tried again in {:.1f} s",
                                   owner.options.name, Seconds(wait)))
        .WithRetryAfter(wait);
  }
  return DeadlineExceeded(
      "deadline_unreachable",
      fmt::format("model '{}': after {:.3f} ms in the queue, the deadline in {:.3f} ms is nearer "
                  "than the predicted run of {:.3f} ms",
                  owner.options.name, Seconds(now - item.enqueued()) * 1e3,
                  Seconds(item.deadline - now) * 1e3,
                  Seconds(owner.latency.For(item.batch_key).Expected(item.rows)) * 1e3));
}

Dispatched Scheduler::Core::Dispatch(TimePoint now, Batch& out, Duration longest) {
  Tick(now);
  out.items.clear();
  waits_until_ = kNever;
  const bool fair = options_.policy == Policy::kFair;
  if (fair) RefuseHopeless(now);
  while (free_slots() > 0 && backlog_.size() > 0) {
    const internal::FlowTree::Choice choice = tree_.Select(now);
    if (choice.leaf == nullptr) {
      overload_.OnIdle(now);
      return Dispatched::kNothing;
    }
    Subqueue* lead = choice.leaf->subqueues.top();
    bool from_tokens = choice.from_tokens;
    if (!backlog_.deadlines().empty()) {
      if (Subqueue* pressing = PressingInstead(*lead, now)) {
        lead = pressing;
        from_tokens = lead->leaf->node->class_state->tokens > 0;
      }
    }
    if (fair && AwaitsChain(*lead, now)) return Dispatched::kNothing;
    const bool may_run_long = lead->leaf->model_class->model->options.may_run_long;
    if (longest < Duration::max() && (may_run_long || LikelyRun(*lead) > longest))
      return Dispatched::kTooLong;
    if (lead->leaf == choice.leaf) tree_.Begin(*lead->leaf);
    DeadlineLine::Device device = DeviceAt(now, false);
    const bool tight =
        !backlog_.deadlines().empty() && SlackBeside(*lead, device) < Nanoseconds(LikelyRun(*lead));
    device.free_sum += Nanoseconds(RunOfFirst(*lead));

    Running& run = *run_pool_.Take();
    run.model = lead->leaf->model_class->model;
    run.class_state = lead->leaf->node->class_state;
    run.batch_key = lead->key;
    run.items.clear();
    run.riders.clear();
    hopeless_.clear();
    former_.Form(*lead, now, tight, device, run.items, run.riders, hopeless_, IdleBeside(*lead));
    for (WorkItem* item : hopeless_) Refuse(*item, Refusal::kDeadlineExpired);
    if (run.items.empty()) {
      run_pool_.Give(&run);
      continue;
    }
    Start(run, from_tokens, now, out);
    return Dispatched::kBatch;
  }
  if (free_slots() > 0) overload_.OnIdle(now);
  return Dispatched::kNothing;
}

std::uint32_t Scheduler::Core::IdleBeside(const Subqueue& lead) const {
  // A row is an item or a part of one: when there are fewer rows than items, others wait as well.
  std::uint64_t items = 0;
  for (std::size_t i = 0; i <= At(lead.leaf->node->class_state->cls); ++i) {
    items += tree_.class_state(static_cast<Class>(i)).stats.queued_items;
  }
  if (lead.lane->rows < items) return 0;
  const Model& model = *lead.leaf->model_class->model;
  const std::uint32_t instances = model.options.max_concurrent - model.stats.running_batches;
  return std::min(free_slots(), instances) - 1;
}

bool Scheduler::Core::AwaitsChain(const Subqueue& lead, TimePoint now) {
  const Class own = lead.leaf->node->class_state->cls;
  if (own == Class::kInteractive || ItemAccess::Timed(*lead.items.top())) return false;
  const TimePoint ends = now + LikelyRun(lead);
  std::uint32_t rows = 0;
  std::uint32_t slots = free_slots() - 1;  // Those that the chains will have without this one.
  TimePoint until = now;
  chains_.clear();
  for (const Running* run : running_) {
    const ClassState& cls = *run->class_state;
    if (cls.cls >= own || cls.tokens <= 0 || run->hung) continue;
    const TimePoint back = run->start + Duration(static_cast<std::int64_t>(run->predicted));
    const TimePoint latest = run->start + Duration(static_cast<std::int64_t>(run->predicted * kLateness));
    if (back >= ends || latest <= now) continue;
    ++slots;
    for (const WorkItem* item : run->items) {
      if (item->chain == nullptr || item->cls >= own) continue;
      if (std::find(chains_.begin(), chains_.end(), item->chain) != chains_.end()) continue;
      chains_.push_back(item->chain);
      rows += item->chain_rows;
      until = std::max(until, latest);
    }
  }
  if (rows <= slots) return false;
  waits_until_ = until;
  return true;
}

DeadlineLine::Device Scheduler::Core::DeviceAt(TimePoint now, bool cautious) const {
  DeadlineLine::Device device;
  const double present = Nanoseconds(now.time_since_epoch());
  for (const Running* run : running_) {
    // A run past its prediction may end at any time.
    device.free_sum += std::max(
        Nanoseconds(run->start.time_since_epoch()) + (cautious ? run->high : run->predicted), present);
  }
  device.free_sum += present * free_slots();
  device.slots = static_cast<double>(std::max<std::size_t>(running_.size(), options_.slots));
  return device;
}

double Scheduler::Core::SlackBeside(const Subqueue& lead, const DeadlineLine::Device& device) const {
  return backlog_.deadlines().Slack(lead.leaf->node->class_state->cls, TimePoint{}, device, lead.items.top());
}

Duration Scheduler::Core::RunOfFirst(const Subqueue& lead) const {
  return lead.leaf->model_class->model->latency.For(lead.key).Expected(lead.items.top()->rows);
}

Duration Scheduler::Core::LikelyRun(const Subqueue& lead) const {
  const Model& model = *lead.leaf->model_class->model;
  const LatencyFit& fit = model.latency.For(lead.key);
  return fit.Expected(std::min(lead.lane->rows, fit.BestRows(model.options.max_batch_rows)));
}

Subqueue* Scheduler::Core::PressingInstead(const Subqueue& lead, TimePoint now) const {
  const double slack = SlackBeside(lead, DeviceAt(now, false));
  if (slack >= Nanoseconds(LikelyRun(lead))) return nullptr;
  WorkItem* item = backlog_.deadlines().FirstThat(lead.leaf->node->class_state->cls, [this](WorkItem& each) {
    const Leaf& leaf = *ItemAccess::Queue(each)->leaf;
    return leaf.model_class->model->HasInstance() && tree_.Lead(*leaf.node) <= tree_.lag_limit();
  });
  if (item == nullptr) return nullptr;
  Subqueue* pressing = ItemAccess::Queue(*item);
  if (pressing == &lead) return nullptr;
  if (slack < Nanoseconds(RunOfFirst(lead))) return pressing;
  // The fair choice only has to stay small. Unless it is pressing itself, it gains by letting the other go
  // first.
  if (pressing->lane == lead.lane) return nullptr;
  WorkItem& first = *lead.items.top();
  const bool late =
      ItemAccess::Timed(first) && now + LikelyRun(*pressing) + RunOfFirst(lead) > first.deadline;
  return late ? nullptr : pressing;
}

void Scheduler::Core::Start(Running& run, bool from_tokens, TimePoint now, Batch& out) {
  const LatencyFit& fit = run.model->latency.For(run.batch_key);
  run.id = ++batches_;
  run.rows = 0;
  for (const Running::Rider& rider : run.riders) run.rows += rider.rows;
  run.start = now;
  run.predicted = Nanoseconds(fit.Expected(run.rows));
  run.high = Nanoseconds(fit.High(run.rows));
  const ModelOptions& options = run.model->options;
  run.overdue = AddSaturating(now, std::max(options.watchdog_floor, FromSeconds(Seconds(fit.High(run.rows)) *
                                                                                options.watchdog_multiple)));
  run.from_tokens = from_tokens;
  run.hung = false;
  run.probe = ItemAccess::Probe(*run.items.front());
  overload_.OnRun(fit.Expected(run.rows), now);
  for (WorkItem* item : run.items) {
    CountQueued(*item, -1);
    overload_.OnStart(item->cls, item->enqueued(), fit.Expected(item->rows),
                      Duration(ItemAccess::Cost(*item)), now);
    ++TenantAt(item->tenant).nodes[At(item->cls)].stats.running_items;
    ++tree_.class_state(item->cls).stats.running_items;
  }
  for (const Running::Rider& rider : run.riders) {
    tree_.Charge(*rider.leaf, run.predicted * rider.rows / run.rows, true);
  }
  ChargeClasses(run, run.predicted);
  run.model->stats.running_items += run.items.size();
  ++run.model->stats.running_batches;
  if (!run.model->HasInstance()) tree_.LastInstanceTaken(*run.model);
  running_.push_back(&run);

  out.id = run.id;
  out.model = ModelIndex{run.model->index};
  out.batch_key = run.batch_key;
  out.cls = run.items.front()->cls;
  out.rows = run.rows;
  out.predicted = fit.Expected(run.rows);
  out.overdue = run.overdue;
  out.items.assign(run.items.begin(), run.items.end());
}

bool Scheduler::Core::Complete(std::uint64_t batch, Duration measured, RunOutcome outcome, TimePoint now) {
  Tick(now);
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [batch](const Running* run) { return run->id == batch; });
  if (found == running_.end()) return false;
  Running& run = **found;
  *found = running_.back();
  running_.pop_back();
  Model& model = *run.model;

  // A hang is charged up to the moment it was called one: what follows is not the tenants' doing.
  measured = std::clamp(measured, Duration::zero(), std::max(Duration::zero(), run.overdue - run.start));
  const double charged = static_cast<double>(measured.count());
  overload_.OnRun(measured, now);
  if (outcome == RunOutcome::kOk && !run.hung) {
    model.latency.Learn(run.batch_key, run.rows, measured);
    model.last_measured = now;
  }
  const double correction = charged - run.predicted;
  for (const Running::Rider& rider : run.riders) {
    tree_.Charge(*rider.leaf, correction * rider.rows / run.rows, false);
    backlog_.RunEnded(*rider.leaf);
  }
  ChargeClasses(run, correction);
  Account(run, charged, outcome != RunOutcome::kOk);

  const bool had = model.HasInstance();
  --model.stats.running_batches;
  if (!had && model.HasInstance()) tree_.FirstInstanceFreed(model);
  if (!run.hung && model.breaker.OnRun(outcome != RunOutcome::kModelFault, run.probe, now)) {
    ++model.stats.breaker_opened;
    RefuseQueueOf(model, Refusal::kBreakerOpen, refused_);
  }
  run_pool_.Give(&run);
  Retire(model);
  return true;
}

void Scheduler::Core::ChargeClasses(const Running& run, double cost) {
  for (const Running::Rider& rider : run.riders) {
    ClassState& cls = *rider.leaf->node->class_state;
    // A rider of another class spends no tokens: nobody asked whether that class has some.
    tree_.ChargeClass(cls, cost * rider.rows / run.rows, run.from_tokens && &cls == run.class_state);
  }
}

void Scheduler::Core::Account(const Running& run, double charged, bool failed) {
  ModelStatistics& of_model = run.model->stats;
  ++of_model.batches;
  if (failed) ++of_model.failed_batches;
  of_model.predicted += Duration(static_cast<std::int64_t>(run.predicted));
  for (WorkItem* item : run.items) {
    ItemAccess::State(*item) = WorkItem::State::kDone;
    const Duration part(static_cast<std::int64_t>(charged * item->rows / run.rows));
    FlowStatistics& of_class = tree_.class_state(item->cls).stats;
    FlowStatistics& of_tenant = TenantAt(item->tenant).nodes[At(item->cls)].stats;
    for (FlowStatistics* stats : {static_cast<FlowStatistics*>(&of_model), &of_tenant, &of_class}) {
      --stats->running_items;
      ++stats->completed_items;
      stats->completed_rows += item->rows;
      stats->charged += part;
    }
  }
}

void Scheduler::Core::ChargeLoad(TenantIndex tenant, ModelIndex model, Class cls, Duration spent) {
  Node& node = TenantAt(tenant).nodes[At(cls)];
  if (options_.policy == Policy::kFifo) return;
  Leaf& leaf = backlog_.LeafOf(node, ModelAt(model).classes[At(cls)]);
  // An idle flow is charged from where it would return to, or its lift would forgive the load.
  if (node.active_leaves == 0) node.tag = std::max(node.tag, node.class_state->virtual_time);
  if (leaf.queued_items == 0) leaf.tag = std::max(leaf.tag, node.virtual_time);
  tree_.Charge(leaf, static_cast<double>(spent.count()), false);
  node.stats.charged += spent;
  ModelAt(model).stats.charged += spent;
  tree_.class_state(cls).stats.charged += spent;
}

void Scheduler::Core::TakeOverdue(TimePoint now, std::vector<std::uint64_t>& out) {
  for (Running* run : running_) {
    if (run->hung || now < run->overdue) continue;
    run->hung = true;
    out.push_back(run->id);
    Model& model = *run->model;
    ++model.stats.hung_batches;
    if (!model.breaker.OnHang(now)) continue;
    ++model.stats.breaker_opened;
    RefuseQueueOf(model, Refusal::kBreakerOpen, refused_);
  }
}

TimePoint Scheduler::Core::NextEvent() const {
  if (!refused_.empty()) return TimePoint{};
  TimePoint next = AddSaturating(backlog_.deadlines().first_latest_start(), Duration(1));
  for (const Running* run : running_) {
    if (!run->hung) next = std::min(next, run->overdue);
  }
  return next;
}

Duration Scheduler::Core::PredictWait(TenantIndex tenant, ModelIndex model, Class cls, TimePoint now) {
  return forecast_
      .Predict({.tenant = &TenantAt(tenant),
                .model = &ModelAt(model),
                .cls = cls,
                .batch_key = 0,
                .rows = 1,
                .deadline = kNever},
               running_, options_.slots, now)
      .wait;
}

}  // namespace mezzo::sched
