#pragma once

#include <cstddef>
#include <cstdint>

#include "mezzo/sched/internal/deadline_line.h"
#include "mezzo/sched/internal/flow_tree.h"
#include "mezzo/sched/internal/flows.h"
#include "mezzo/sched/internal/pool.h"

namespace mezzo::sched::internal {

/// All queued items, in every order the scheduler needs: by flow and key, by lane, by latest start.
/// Keeps the counts and costs of every level, and tells the FlowTree when flows come and go.
class Backlog {
 public:
  Backlog(const Scheduler::Options& options, FlowTree& tree);

  /// `node` is the tenant's node in the item's class, or, under FIFO, the one node that all work hangs under.
  void Insert(WorkItem& item, Node& node, Model& model, TimePoint now);
  /// Takes a queued item out, wherever it stands.
  void Remove(WorkItem& item);

  /// The two halves of Remove(), for taking several items from one subqueue: Unlink() each, then Settle()
  /// once.
  void Unlink(WorkItem& item);
  /// Repositions or releases `subqueue`, and its flow and lane; a released one must not be touched again.
  void Settle(Subqueue& subqueue);

  [[nodiscard]] const DeadlineLine& deadlines() const { return deadlines_; }
  /// A queued item that cannot be in time any more even if it started now, or nullptr.
  WorkItem* FindHopeless(TimePoint now);

  /// Device time that `rows` more rows in `lane` (nullptr: an empty one) will take: a whole run for the first
  /// rows of a batch, less for those that join it.
  [[nodiscard]] static Duration CostOf(std::uint32_t rows, std::uint64_t key, const Model& model,
                                       const Lane* lane);

  /// A run that held the flow has ended.
  void RunEnded(Leaf& leaf);
  [[nodiscard]] Lane* FindLane(const ModelClass& model_class, std::uint64_t key) const;
  [[nodiscard]] const Leaf* FindLeaf(const Node& node, const ModelClass& model_class) const;
  /// One of the flows of `model_class` that have items; there must be one.
  [[nodiscard]] Leaf* AnyFlowOf(const ModelClass& model_class) const;
  /// Creates the flow when it is new.
  Leaf& LeafOf(Node& node, ModelClass& model_class);
  /// Forgets the idle flows of a model. Returns true when none is left.
  bool ForgetFlows(Model& model);
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  Subqueue& SubqueueOf(Leaf& leaf, std::uint64_t key);
  Lane& LaneOf(ModelClass& model_class, std::uint64_t key);
  void Count(WorkItem& item, Subqueue& subqueue, int direction);
  void BecomeIdle(Leaf& leaf);
  void LeaveIdle(Leaf& leaf);
  void Release(Leaf& leaf);
  [[nodiscard]] TimePoint LatestStart(const WorkItem& item, const Model& model) const;

  const bool fifo_;
  const Duration horizon_;
  const std::size_t max_idle_;
  FlowTree& tree_;
  DeadlineLine deadlines_;
  Pool<Leaf> leaf_pool_;
  Pool<Subqueue> subqueue_pool_;
  Pool<Lane> lane_pool_;
  PointerTable<Leaf> leaves_;
  PointerTable<Subqueue> subqueues_;
  PointerTable<Lane> lanes_;
  Leaf* idle_first_ = nullptr;  // Longest idle.
  Leaf* idle_last_ = nullptr;
  std::size_t idle_count_ = 0;
  std::size_t size_ = 0;
  std::uint64_t arrivals_ = 0;
  std::uint64_t joins_ = 0;
  std::uint64_t ids_ = 0;
};

}  // namespace mezzo::sched::internal
