#include "mezzo/sched/internal/backlog.h"

#include <algorithm>
#include <bit>

#include "mezzo/base/check.h"

namespace mezzo::sched::internal {
namespace {

std::uint64_t HashOf(const Node& node, const ModelClass& model_class) {
  return MixHash(std::bit_cast<std::uint64_t>(&node), model_class.id);
}

}  // namespace

Backlog::Backlog(const Scheduler::Options& options, FlowTree& tree)
    : fifo_(options.policy == Scheduler::Policy::kFifo),
      horizon_(options.horizon),
      max_idle_(options.max_idle_flows),
      tree_(tree) {}

TimePoint Backlog::LatestStart(const WorkItem& item, const Model& model) const {
  return item.deadline - model.latency.For(item.batch_key).Expected(item.rows);
}

void Backlog::Insert(WorkItem& item, Node& node, Model& model, TimePoint now) {
  ModelClass& model_class = model.classes[static_cast<std::size_t>(node.class_state->cls)];
  Leaf& leaf = LeafOf(node, model_class);
  LeaveIdle(leaf);
  Subqueue& subqueue = SubqueueOf(leaf, item.batch_key);

  ItemAccess::State(item) = WorkItem::State::kQueued;
  ItemAccess::Cancelled(item) = false;
  ItemAccess::Enqueued(item) = now;
  ItemAccess::Arrival(item) = ++arrivals_;
  ItemAccess::Cost(item) = CostOf(item.rows, item.batch_key, model, subqueue.lane).count();
  ItemAccess::Queue(item) = &subqueue;
  const TimePoint effective = fifo_ ? TimePoint{} : std::min(item.deadline, AddSaturating(now, horizon_));
  const ItemKey key{effective.time_since_epoch().count(), arrivals_};
  subqueue.items.Push(key, &item);
  if (ItemAccess::Timed(item)) {
    deadlines_.Insert(item, item.deadline - model.latency.For(item.batch_key).High(item.rows));
  }
  Count(item, subqueue, 1);

  if (subqueue.position == kNoPosition) {
    leaf.subqueues.Push(key, &subqueue);
    Lane& lane = *subqueue.lane;
    subqueue.lane_tag = lane.virtual_time;
    lane.subqueues.Push({subqueue.lane_tag, ++joins_}, &subqueue);
  } else if (subqueue.items.top() == &item) {
    leaf.subqueues.Update(key, &subqueue);
  }
  if (leaf.queued_items == 1) tree_.Activate(leaf);
}

Duration Backlog::CostOf(std::uint32_t rows, std::uint64_t key, const Model& model, const Lane* lane) {
  const LatencyFit& fit = model.latency.For(key);
  const std::uint32_t most = fit.BestRows(model.options.max_batch_rows);
  const std::uint32_t ride = lane != nullptr ? lane->rows % most : 0;
  if (ride == 0 || ride + rows > most) return fit.Expected(rows);
  // Not what the line says: whether rows really come to ride depends on other tenants and deadlines.
  return model.latency.amortised_row() * rows;
}

void Backlog::Count(WorkItem& item, Subqueue& subqueue, int direction) {
  const std::int64_t cost = direction * ItemAccess::Cost(item);
  const auto items = static_cast<std::uint64_t>(static_cast<std::int64_t>(direction));  // Wraps to -1.
  const auto rows = static_cast<std::uint32_t>(direction) * item.rows;
  Leaf& leaf = *subqueue.leaf;
  Lane& lane = *subqueue.lane;
  Node& node = *leaf.node;
  ClassState& cls = *node.class_state;
  ModelClass& model_class = *leaf.model_class;
  subqueue.rows += rows;
  lane.rows += rows;
  lane.cost += cost;
  leaf.queued_items += static_cast<std::uint32_t>(items);
  leaf.queued_cost += cost;
  node.queued_cost += cost;
  model_class.queued_cost += cost;
  cls.queued_cost += cost;
  model_class.model->stats.queued_items += items;
  model_class.model->stats.queued_rows +=
      static_cast<std::uint64_t>(direction * static_cast<std::int64_t>(item.rows));
  size_ += items;
}

void Backlog::Unlink(WorkItem& item) {
  Subqueue& subqueue = *ItemAccess::Queue(item);
  subqueue.items.Remove(&item);
  if (ItemAccess::Timed(item)) deadlines_.Remove(item);
  Count(item, subqueue, -1);
  ItemAccess::Queue(item) = nullptr;
  ItemAccess::State(item) = WorkItem::State::kIdle;
}

void Backlog::Remove(WorkItem& item) {
  Subqueue& subqueue = *ItemAccess::Queue(item);
  Unlink(item);
  Settle(subqueue);
}

void Backlog::Settle(Subqueue& subqueue) {
  Leaf& leaf = *subqueue.leaf;
  Lane& lane = *subqueue.lane;
  // The tree reads the flow's first item, so the flow leaves the tree before it loses its last subqueue.
  if (leaf.queued_items == 0) tree_.Deactivate(leaf);
  if (!subqueue.items.empty()) {
    leaf.subqueues.Update(subqueue.items.top_key(), &subqueue);
    if (subqueue.lane_position == kNoPosition) {
      lane.subqueues.Push({subqueue.lane_tag, ++joins_}, &subqueue);
    } else if (lane.subqueues.key_of(subqueue).tag != subqueue.lane_tag) {
      lane.subqueues.Update({subqueue.lane_tag, ++joins_}, &subqueue);
    }
    tree_.HeadChanged(leaf);
    return;
  }
  leaf.subqueues.Remove(&subqueue);
  if (subqueue.lane_position != kNoPosition) lane.subqueues.Remove(&subqueue);
  if (leaf.last == &subqueue) leaf.last = nullptr;
  subqueues_.Erase(MixHash(leaf.id, subqueue.key), &subqueue);
  subqueue_pool_.Give(&subqueue);
  if (--lane.subqueue_count == 0) {
    ModelClass& model_class = *lane.model_class;
    if (model_class.last == &lane) model_class.last = nullptr;
    (lane.previous != nullptr ? lane.previous->next : model_class.first) = lane.next;
    if (lane.next != nullptr) lane.next->previous = lane.previous;
    lanes_.Erase(MixHash(model_class.id, lane.key), &lane);
    lane_pool_.Give(&lane);
  }
  if (leaf.queued_items > 0) {
    tree_.HeadChanged(leaf);
  } else if (leaf.running_batches == 0) {
    BecomeIdle(leaf);
  }
}

WorkItem* Backlog::FindHopeless(TimePoint now) {
  while (deadlines_.first_latest_start() < now) {
    // Until here the item stood where it would probably be in time; now it is whether it still can be, by
    // what the latency model says today.
    WorkItem& item = *deadlines_.first();
    const TimePoint latest = LatestStart(item, *ItemAccess::Queue(item)->leaf->model_class->model);
    if (latest < now) return &item;
    deadlines_.UpdateFirst(latest);
  }
  return nullptr;
}

void Backlog::RunEnded(Leaf& leaf) {
  if (--leaf.running_batches == 0 && leaf.queued_items == 0) BecomeIdle(leaf);
}

const Leaf* Backlog::FindLeaf(const Node& node, const ModelClass& model_class) const {
  return leaves_.Find(HashOf(node, model_class), [&](const Leaf& leaf) {
    return leaf.node == &node && leaf.model_class == &model_class;
  });
}

Leaf* Backlog::AnyFlowOf(const ModelClass& model_class) const {
  return model_class.first->subqueues.top()->leaf;
}

Leaf& Backlog::LeafOf(Node& node, ModelClass& model_class) {
  const std::uint64_t hash = HashOf(node, model_class);
  Leaf* leaf = leaves_.Find(
      hash, [&](const Leaf& each) { return each.node == &node && each.model_class == &model_class; });
  if (leaf != nullptr) return *leaf;
  leaf = leaf_pool_.Take();
  leaf->node = &node;
  leaf->model_class = &model_class;
  leaf->last = nullptr;
  leaf->tag = 0;
  leaf->served = 0;
  leaf->queued_cost = 0;
  leaf->id = ++ids_;
  leaf->queued_items = 0;
  leaf->running_batches = 0;
  leaf->parked = false;
  leaf->idle = false;
  leaf->contender = {};
  leaves_.Insert(hash, leaf);
  ++model_class.model->leaves;
  BecomeIdle(*leaf);
  return *leaf;
}

Subqueue& Backlog::SubqueueOf(Leaf& leaf, std::uint64_t key) {
  if (leaf.last != nullptr && leaf.last->key == key) return *leaf.last;
  const std::uint64_t hash = MixHash(leaf.id, key);
  Subqueue* subqueue =
      subqueues_.Find(hash, [&](const Subqueue& each) { return each.leaf == &leaf && each.key == key; });
  if (subqueue == nullptr) {
    subqueue = subqueue_pool_.Take();
    subqueue->leaf = &leaf;
    subqueue->lane = &LaneOf(*leaf.model_class, key);
    subqueue->key = key;
    subqueue->position = subqueue->lane_position = kNoPosition;
    subqueue->rows = subqueue->taken_items = subqueue->taken_rows = 0;
    ++subqueue->lane->subqueue_count;
    subqueues_.Insert(hash, subqueue);
  }
  leaf.last = subqueue;
  return *subqueue;
}

Lane* Backlog::FindLane(const ModelClass& model_class, std::uint64_t key) const {
  if (model_class.last != nullptr && model_class.last->key == key) return model_class.last;
  return lanes_.Find(MixHash(model_class.id, key),
                     [&](const Lane& lane) { return lane.model_class == &model_class && lane.key == key; });
}

Lane& Backlog::LaneOf(ModelClass& model_class, std::uint64_t key) {
  Lane* lane = FindLane(model_class, key);
  if (lane == nullptr) {
    lane = lane_pool_.Take();
    lane->model_class = &model_class;
    lane->key = key;
    lane->virtual_time = 0;
    lane->subqueue_count = lane->rows = 0;
    lane->cost = 0;
    lane->previous = nullptr;
    lane->next = model_class.first;
    if (lane->next != nullptr) lane->next->previous = lane;
    model_class.first = lane;
    lanes_.Insert(MixHash(model_class.id, key), lane);
  }
  model_class.last = lane;
  return *lane;
}

void Backlog::BecomeIdle(Leaf& leaf) {
  MEZZO_CHECK(!leaf.idle);
  leaf.idle = true;
  leaf.idle_previous = idle_last_;
  leaf.idle_next = nullptr;
  (idle_last_ != nullptr ? idle_last_->idle_next : idle_first_) = &leaf;
  idle_last_ = &leaf;
  if (++idle_count_ > max_idle_ && idle_first_ != &leaf) Release(*idle_first_);
}

void Backlog::LeaveIdle(Leaf& leaf) {
  if (!leaf.idle) return;
  leaf.idle = false;
  (leaf.idle_previous != nullptr ? leaf.idle_previous->idle_next : idle_first_) = leaf.idle_next;
  (leaf.idle_next != nullptr ? leaf.idle_next->idle_previous : idle_last_) = leaf.idle_previous;
  --idle_count_;
}

void Backlog::Release(Leaf& leaf) {
  LeaveIdle(leaf);
  leaves_.Erase(HashOf(*leaf.node, *leaf.model_class), &leaf);
  --leaf.model_class->model->leaves;
  leaf_pool_.Give(&leaf);
}

bool Backlog::ForgetFlows(Model& model) {
  if (model.leaves == 0) return true;
  for (Leaf* leaf = idle_first_; leaf != nullptr;) {
    Leaf* next = leaf->idle_next;
    if (leaf->model_class->model == &model) Release(*leaf);
    leaf = next;
  }
  return model.leaves == 0;
}

}  // namespace mezzo::sched::internal
