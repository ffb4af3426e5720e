#include "mezzo/sched/internal/flow_tree.h"

#include <algorithm>
#include <limits>

namespace mezzo::sched::internal {
namespace {

constexpr std::size_t kMaxDeferred = 16;  // Flows passed over per selection for the sake of fuller batches.
constexpr double kMinShare = 1e-3;        // Weight of a class without a guarantee, for sharing what is left.

}  // namespace

FlowTree::FlowTree(const Scheduler::Options& options)
    : fifo_(options.policy == Scheduler::Policy::kFifo),
      burst_window_(static_cast<double>(options.burst_window.count())),
      lag_limit_(burst_window_) {
  double sum = 0;
  for (const double share : options.class_shares) sum += std::max(0.0, share);
  for (std::size_t i = 0; i < kClassCount; ++i) {
    classes_[i].cls = static_cast<Class>(i);
    classes_[i].share = sum > 0 ? std::max(0.0, options.class_shares[i]) / sum : 1.0 / kClassCount;
  }
  SetSlots(options.slots);
  for (ClassState& cls : classes_) cls.tokens = cls.depth;
}

void FlowTree::SetSlots(std::uint32_t slots) {
  for (ClassState& cls : classes_) {
    cls.depth = burst_window_ * cls.share * slots;
    cls.tokens = std::min(cls.tokens, cls.depth);
  }
}

TagKey FlowTree::KeyOf(const Leaf& leaf) const {
  // FIFO: arrival order over everything; all flows hang under one node then.
  if (fifo_) return {static_cast<double>(leaf.subqueues.top_key().arrival), 0};
  return {leaf.tag, leaf.served};
}

void FlowTree::Activate(Leaf& leaf) {
  Node& node = *leaf.node;
  ClassState& cls = *node.class_state;
  Model& model = *leaf.model_class->model;
  if (node.active_leaves++ == 0) {
    node.tag = std::max(node.tag, cls.virtual_time);
    node.counted_weight = node.weight;
    cls.active_weight += node.counted_weight;
    ++cls.active_nodes;
  }
  leaf.tag = std::max(leaf.tag, node.virtual_time);
  leaf.active_weight = model.options.weight;
  node.active_weight += leaf.active_weight;
  const bool eligible = model.HasInstance();
  if (leaf.model_class->active_leaves++ == 0 && eligible) ModelBecameEligible(cls);
  if (eligible) {
    AddReady(leaf);
  } else {
    leaf.parked = true;
    leaf.model_class->parked.Push(KeyOf(node), &leaf);
  }
}

void FlowTree::Deactivate(Leaf& leaf) {
  Node& node = *leaf.node;
  ClassState& cls = *node.class_state;
  ModelClass& model_class = *leaf.model_class;
  if (leaf.parked) {
    leaf.parked = false;
    model_class.parked.Remove(&leaf);
    RefreshParked(model_class);
  } else {
    RemoveReady(leaf);
  }
  if (--model_class.active_leaves == 0 && model_class.model->HasInstance()) --cls.eligible_models;
  node.active_weight -= leaf.active_weight;
  if (--node.active_leaves == 0) {
    node.active_weight = 0;  // Also ends the drift of floating sums.
    cls.active_weight -= node.counted_weight;
    if (--cls.active_nodes == 0) cls.active_weight = 0;
  }
}

void FlowTree::HeadChanged(Leaf& leaf) {
  if (fifo_ && !leaf.parked) leaf.node->leaves.Update(KeyOf(leaf), &leaf);
}

void FlowTree::ModelBecameEligible(ClassState& cls) {
  if (cls.eligible_models++ > 0) return;
  // A class that returns does not bring credit along: it starts level with the least served one.
  double least = std::numeric_limits<double>::infinity();
  for (const ClassState& other : classes_) {
    if (&other != &cls && other.eligible_models > 0) least = std::min(least, other.tag);
  }
  if (least < std::numeric_limits<double>::infinity()) cls.tag = std::max(cls.tag, least);
}

void FlowTree::LastInstanceTaken(Model& model) {
  for (ModelClass& model_class : model.classes) {
    if (model_class.active_leaves > 0) --model_class.class_state->eligible_models;
    RefreshParked(model_class);
  }
}

void FlowTree::FirstInstanceFreed(Model& model) {
  for (ModelClass& model_class : model.classes) {
    if (model_class.active_leaves > 0) ModelBecameEligible(*model_class.class_state);
    RefreshParked(model_class);
  }
}

void FlowTree::AddReady(Leaf& leaf) {
  Node& node = *leaf.node;
  node.leaves.Push(KeyOf(leaf), &leaf);
  if (node.leaves.size() == 1) node.class_state->nodes.Push(KeyOf(node), &node);
}

void FlowTree::RemoveReady(Leaf& leaf) {
  Node& node = *leaf.node;
  node.leaves.Remove(&leaf);
  if (node.leaves.empty()) node.class_state->nodes.Remove(&node);
}

void FlowTree::Park(Leaf& leaf) {
  RemoveReady(leaf);
  leaf.parked = true;
  leaf.model_class->parked.Push(KeyOf(*leaf.node), &leaf);
}

void FlowTree::Unpark(Leaf& leaf) {
  ModelClass& model_class = *leaf.model_class;
  Node& node = *leaf.node;
  leaf.parked = false;
  model_class.parked.Remove(&leaf);
  RefreshParked(model_class);
  // Waiting for an instance is not idleness, but neither may it save up service without bound.
  leaf.tag = std::max(leaf.tag, node.virtual_time - lag_limit_);
  if (node.leaves.empty()) node.tag = std::max(node.tag, node.class_state->virtual_time - lag_limit_);
  AddReady(leaf);
}

void FlowTree::RefreshParked(ModelClass& model_class) {
  auto& ready = model_class.class_state->ready_parked;
  const bool in = model_class.position != kNoPosition;
  if (model_class.parked.empty() || !model_class.model->HasInstance()) {
    if (in) ready.Remove(&model_class);
    return;
  }
  if (in) {
    ready.Update(model_class.parked.top_key(), &model_class);
  } else {
    ready.Push(model_class.parked.top_key(), &model_class);
  }
}

bool FlowTree::IsDeferred(const Leaf& leaf, TimePoint now) const {
  const Model& model = *leaf.model_class->model;
  const Scheduler::ModelOptions& options = model.options;
  if (options.max_queue_delay <= Duration::zero()) return false;
  const Subqueue& first = *leaf.subqueues.top();
  if (first.lane->rows >= model.latency.For(first.key).BestRows(options.max_batch_rows)) return false;
  return now - first.items.top()->enqueued() < options.max_queue_delay;
}

Leaf* FlowTree::SelectIn(ClassState& cls, TimePoint now, bool allow_deferred) {
  Leaf* chosen = nullptr;
  while (chosen == nullptr) {
    while (!cls.ready_parked.empty() &&
           (cls.nodes.empty() || !(cls.nodes.top_key() < cls.ready_parked.top_key()))) {
      Unpark(*cls.ready_parked.top()->parked.top());
    }
    if (cls.nodes.empty()) break;
    Leaf* leaf = cls.nodes.top()->leaves.top();
    if (!leaf->model_class->model->HasInstance()) {
      Park(*leaf);
    } else if (!allow_deferred && deferred_.size() < kMaxDeferred && IsDeferred(*leaf, now)) {
      RemoveReady(*leaf);
      deferred_.push_back(leaf);
    } else {
      chosen = leaf;
    }
  }
  met_deferred_ = met_deferred_ || !deferred_.empty();
  for (Leaf* leaf : deferred_) AddReady(*leaf);
  deferred_.clear();
  return chosen;
}

FlowTree::Choice FlowTree::SelectClass(TimePoint now, bool allow_deferred) {
  for (ClassState& cls : classes_) {
    if (cls.eligible_models == 0 || cls.tokens <= 0) continue;
    if (Leaf* leaf = SelectIn(cls, now, allow_deferred)) return {leaf, true};
  }
  // Nobody has a claim left: what remains is shared in proportion.
  std::array<ClassState*, kClassCount> order{};
  for (std::size_t i = 0; i < kClassCount; ++i) order[i] = &classes_[i];
  std::sort(order.begin(), order.end(), [](const ClassState* a, const ClassState* b) {
    return a->tag < b->tag || (a->tag == b->tag && a->cls < b->cls);
  });
  for (ClassState* cls : order) {
    if (cls->eligible_models == 0) continue;
    if (Leaf* leaf = SelectIn(*cls, now, allow_deferred)) return {leaf, false};
  }
  return {};
}

FlowTree::Choice FlowTree::Select(TimePoint now) {
  met_deferred_ = false;
  const Choice choice = SelectClass(now, false);
  if (choice.leaf != nullptr || !met_deferred_) return choice;
  return SelectClass(now, true);
}

void FlowTree::Begin(const Leaf& leaf) {
  Node& node = *leaf.node;
  ClassState& cls = *node.class_state;
  cls.virtual_time = std::max(cls.virtual_time, node.tag);
  node.virtual_time = std::max(node.virtual_time, leaf.tag);
}

void FlowTree::Charge(Leaf& leaf, double cost, bool served) {
  if (fifo_) return;
  Node& node = *leaf.node;
  if (served) leaf.served = node.served = ++serve_clock_;
  leaf.tag += cost / leaf.model_class->model->options.weight;
  node.tag += cost / node.weight;
  if (leaf.queued_items > 0 && !leaf.parked && leaf.position != kNoPosition) {
    node.leaves.Update(KeyOf(leaf), &leaf);
  }
  if (node.position != kNoPosition) node.class_state->nodes.Update(KeyOf(node), &node);
  if (leaf.parked) {
    leaf.model_class->parked.Update(KeyOf(node), &leaf);
    RefreshParked(*leaf.model_class);
  }
}

void FlowTree::ChargeClass(ClassState& cls, double cost, bool from_tokens) {
  cls.tag += cost / std::max(cls.share, kMinShare);
  // Refilled by time spent, not by the clock: the buckets' sum is what was really available. Borrowing beyond
  // the guarantee is not charged to the bucket, so it is not held against the class later.
  if (from_tokens) cls.tokens -= cost;
  for (ClassState& each : classes_) each.tokens = std::min(each.depth, each.tokens + cost * each.share);
}

void FlowTree::RefillIdle(double idle_slot_time) {
  for (ClassState& each : classes_)
    each.tokens = std::min(each.depth, each.tokens + idle_slot_time * each.share);
}

}  // namespace mezzo::sched::internal
