#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "mezzo/runtime/breaker.h"
#include "mezzo/sched/internal/heap.h"
#include "mezzo/sched/latency_model.h"
#include "mezzo/sched/scheduler.h"
#include "mezzo/sched/statistics.h"
#include "mezzo/sched/work_item.h"

namespace mezzo::sched::internal {

/// The scheduler's view of a WorkItem's private part.
struct ItemAccess {
  static WorkItem::State& State(WorkItem& item) { return item.state_; }
  static bool& Cancelled(WorkItem& item) { return item.cancelled_; }
  static bool& Timed(WorkItem& item) { return item.timed_; }
  static bool& Probe(WorkItem& item) { return item.probe_; }
  static std::int64_t& Cost(WorkItem& item) { return item.cost_; }
  static std::uint64_t& Arrival(WorkItem& item) { return item.arrival_; }
  static TimePoint& Enqueued(WorkItem& item) { return item.enqueued_; }
  static Subqueue*& Queue(WorkItem& item) { return item.subqueue_; }
  struct QueuePosition {
    static std::uint32_t& Of(WorkItem& item) { return item.queue_position_; }
  };
  struct ExpiryPosition {
    static std::uint32_t& Of(WorkItem& item) { return item.expiry_position_; }
  };
};

/// Order of flows: virtual time, then who was served longer ago.
struct TagKey {
  double tag = 0;
  std::uint64_t served = 0;
  friend bool operator<(const TagKey& a, const TagKey& b) {
    return a.tag < b.tag || (a.tag == b.tag && a.served < b.served);
  }
};

/// Order of items: a time, then arrival.
struct ItemKey {
  std::int64_t when = 0;
  std::uint64_t arrival = 0;
  friend bool operator<(const ItemKey& a, const ItemKey& b) {
    return a.when < b.when || (a.when == b.when && a.arrival < b.arrival);
  }
};

struct Position {
  template <typename T>
  static std::uint32_t& Of(T& value) {
    return value.position;
  }
};
struct LanePosition {
  template <typename T>
  static std::uint32_t& Of(T& value) {
    return value.lane_position;
  }
};

/// Weight of the flows (of one level) whose deadlines were refused lately: those that want more than they
/// get. Counted in epochs; the present and the last one count.
struct Contenders {
  std::uint64_t epoch = 0;
  double present = 0;
  double last = 0;

  void RollTo(std::uint64_t now) {
    if (now == epoch) return;
    last = now == epoch + 1 ? present : 0;
    present = 0;
    epoch = now;
  }
  [[nodiscard]] double Weight() const { return present > last ? present : last; }
};
/// One flow's part in that: the epoch of its last refusal.
struct Contender {
  std::uint64_t epoch = 0;
  [[nodiscard]] bool Contends(std::uint64_t now) const { return epoch + 1 >= now; }
};

struct Lane;
struct Leaf;
struct ModelClass;
struct Model;
struct Tenant;
struct ClassState;

/// Items of one (class, tenant, model, batch key). Exists while it holds items.
struct Subqueue {
  Heap<ItemKey, WorkItem, ItemAccess::QueuePosition, 4> items;
  Leaf* leaf = nullptr;
  Lane* lane = nullptr;
  std::uint64_t key = 0;
  double lane_tag = 0;  // Rows taken over weight: the order in which tenants ride along.
  std::uint32_t position = kNoPosition;
  std::uint32_t lane_position = kNoPosition;
  std::uint32_t rows = 0;
  std::uint32_t taken_items = 0;  // By the batch being formed.
  std::uint32_t taken_rows = 0;
};

/// Everything that may share a batch: (class, model, batch key). Exists while it has subqueues.
struct Lane {
  Heap<TagKey, Subqueue, LanePosition> subqueues;
  ModelClass* model_class = nullptr;
  std::uint64_t key = 0;
  Lane* previous = nullptr;  // In the list of its model_class.
  Lane* next = nullptr;
  double virtual_time = 0;
  std::uint32_t subqueue_count = 0;
  std::uint32_t rows = 0;
  std::int64_t cost = 0;
};

/// A flow: (class, tenant, model). Remembered while idle, so that a debt is not forgotten by leaving.
struct Leaf {
  struct Node* node = nullptr;
  ModelClass* model_class = nullptr;
  Heap<ItemKey, Subqueue, Position, 1> subqueues;
  Subqueue* last = nullptr;  // The subqueue of the last arrival.
  double tag = 0;
  double active_weight = 0;  // As counted in node->active_weight.
  std::uint64_t served = 0;
  std::int64_t queued_cost = 0;
  std::uint64_t id = 0;
  std::uint32_t queued_items = 0;
  std::uint32_t running_batches = 0;
  std::uint32_t position = kNoPosition;  // In node->leaves or model_class->parked.
  bool parked = false;
  bool idle = false;
  Contender contender;
  Leaf* idle_previous = nullptr;
  Leaf* idle_next = nullptr;
};

/// A tenant within a class.
struct Node {
  double tag = 0;
  double weight = 1;  // The tenant's.
  std::uint64_t served = 0;
  std::uint32_t position = kNoPosition;
  std::uint32_t active_leaves = 0;
  std::int64_t queued_cost = 0;
  Heap<TagKey, Leaf, Position> leaves;  // Those that may run as far as is known.
  ClassState* class_state = nullptr;
  Tenant* tenant = nullptr;
  double virtual_time = 0;    // Of its leaves.
  double active_weight = 0;   // Sum over leaves with items.
  double counted_weight = 0;  // As counted in class_state->active_weight.
  Contender contender;
  Contenders contending;  // Of its leaves.
  FlowStatistics stats;
};

struct Tenant {
  Scheduler::TenantOptions options;
  std::array<Node, kClassCount> nodes;
  std::uint64_t queued_items = 0;
  std::array<OverloadControl::Flow, kShedGroupCount> offers;  // By ShedGroup.
};

/// A model within a class.
struct ModelClass {
  Model* model = nullptr;
  ClassState* class_state = nullptr;
  Heap<TagKey, Leaf, Position> parked;  // Flows set aside because the model had no free instance.
  Lane* last = nullptr;                 // Of the last arrival.
  Lane* first = nullptr;                // Of a list of its lanes.
  std::uint64_t id = 0;
  std::int64_t queued_cost = 0;
  std::uint32_t active_leaves = 0;
  std::uint32_t position = kNoPosition;  // In class_state->ready_parked.
};

struct Model {
  explicit Model(Scheduler::ModelOptions given)
      : options(std::move(given)),
        latency(options.prior_cost, options.prior_marginal),
        breaker(options.breaker) {}

  Scheduler::ModelOptions options;
  LatencyModel latency;
  Breaker breaker;
  std::array<ModelClass, kClassCount> classes;
  ModelStatistics stats;
  std::uint32_t index = 0;
  std::uint32_t leaves = 0;
  TimePoint last_measured{};
  bool removed = false;

  [[nodiscard]] bool HasInstance() const {
    return !removed && stats.running_batches < options.max_concurrent;
  }
};

struct ClassState {
  Class cls = Class::kStandard;
  double share = 0;
  double tokens = 0;        // ns of device time.
  double depth = 0;         // The most tokens it can hold.
  double tag = 0;           // Among classes.
  double virtual_time = 0;  // Of its tenants.
  double active_weight = 0;
  Heap<TagKey, Node, Position> nodes;  // Tenants with at least one leaf in Node::leaves.
  Heap<TagKey, ModelClass, Position>
      ready_parked;  // Models with an instance again, by their first parked flow.
  std::int64_t queued_cost = 0;
  std::uint32_t active_nodes = 0;
  std::uint32_t eligible_models = 0;  // With items and a free instance.
  Contenders contending;              // Of its tenants.
  FlowStatistics stats;
};

/// A batch that occupies a slot.
struct Running {
  struct Rider {
    Leaf* leaf;
    std::uint32_t rows;
  };
  std::uint64_t id = 0;
  Model* model = nullptr;
  ClassState* class_state = nullptr;
  std::uint64_t batch_key = 0;
  std::uint32_t rows = 0;
  TimePoint start{};
  TimePoint overdue = kNever;
  double predicted = 0;  // ns
  double high = 0;       // ns, what few runs exceed.
  bool from_tokens = false;
  bool probe = false;
  bool hung = false;
  std::vector<Rider> riders;
  std::vector<WorkItem*> items;
};

}  // namespace mezzo::sched::internal
