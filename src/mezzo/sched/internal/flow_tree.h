#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mezzo/sched/internal/flows.h"

namespace mezzo::sched::internal {

/// Who goes next: shares of classes, hierarchical start-time fair queueing of tenants and their models.
///
/// A flow whose model has no free instance is parked when selection meets it, in its model's own heap, and
/// comes back when the model has an instance and the flow would be next: each dispatch moves O(1) flows,
/// amortised, however many wait. It returns at most `burst_window` behind the virtual time.
class FlowTree {
 public:
  explicit FlowTree(const Scheduler::Options& options);

  ClassState& class_state(Class cls) { return classes_[static_cast<std::size_t>(cls)]; }
  [[nodiscard]] const ClassState& class_state(Class cls) const {
    return classes_[static_cast<std::size_t>(cls)];
  }
  void SetSlots(std::uint32_t slots);

  /// The flow got its first item, lost its last one, or (FIFO) has another first item.
  void Activate(Leaf& leaf);
  void Deactivate(Leaf& leaf);
  void HeadChanged(Leaf& leaf);

  /// model.HasInstance() has just become false, or true.
  void LastInstanceTaken(Model& model);
  void FirstInstanceFreed(Model& model);

  struct Choice {
    Leaf* leaf = nullptr;
    bool from_tokens = false;
  };
  /// The flow that should run next, or none. Changes no order.
  Choice Select(TimePoint now);
  /// Advances virtual time to the flow that Select() chose.
  void Begin(const Leaf& leaf);

  /// Adds `cost` ns (or takes back, when negative) to the flow's and its tenant's clocks.
  void Charge(Leaf& leaf, double cost, bool served);
  /// Device time spent by a class; every class's bucket gets its share of it.
  void ChargeClass(ClassState& cls, double cost, bool from_tokens);
  /// Time passed with nothing queued and a slot idle.
  void RefillIdle(double idle_slot_time);

  /// How far ahead of its fair share the tenant is, in ns of virtual time.
  [[nodiscard]] double Lead(const Node& node) const { return node.tag - node.class_state->virtual_time; }
  [[nodiscard]] double lag_limit() const { return lag_limit_; }

 private:
  [[nodiscard]] TagKey KeyOf(const Leaf& leaf) const;
  static TagKey KeyOf(const Node& node) { return {node.tag, node.served}; }
  void AddReady(Leaf& leaf);
  void RemoveReady(Leaf& leaf);
  void Park(Leaf& leaf);
  void Unpark(Leaf& leaf);
  void RefreshParked(ModelClass& model_class);
  void ModelBecameEligible(ClassState& cls);
  Leaf* SelectIn(ClassState& cls, TimePoint now, bool allow_deferred);
  [[nodiscard]] bool IsDeferred(const Leaf& leaf, TimePoint now) const;
  Choice SelectClass(TimePoint now, bool allow_deferred);

  const bool fifo_;
  const double burst_window_;
  double lag_limit_;
  std::array<ClassState, kClassCount> classes_;
  std::uint64_t serve_clock_ = 0;
  std::vector<Leaf*> deferred_;  // Scratch of SelectIn().
  bool met_deferred_ = false;
};

}  // namespace mezzo::sched::internal
