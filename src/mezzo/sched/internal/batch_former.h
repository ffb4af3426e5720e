#pragma once

#include <cstdint>
#include <vector>

#include "mezzo/sched/internal/backlog.h"
#include "mezzo/sched/internal/flows.h"

namespace mezzo::sched::internal {

/// Takes items that may run together out of the backlog.
///
/// Row by row, the tenant served least (by its virtual time, with what it already has in the batch) is next,
/// so a tenant that rides in others' batches does not also get its full turns. Nobody gets more rows than the
/// tenant that leads, scaled up by weight: a light tenant's batch is not stretched to the maximum by a heavy
/// one, while one heavy lead, or many light tenants, still fill it. If more tenants wait than fit, those go
/// that rode least in this lane.
///
/// Items of less urgent classes ride along where they hardly cost anything: as long as the predicted run
/// stays within kStretch of what it is without them. So urgent work never waits for what is not, and a device
/// that has room for more rows does not leave it empty.
/// While other slots are idle and nothing else waits, a batch takes only its part of the rows and leaves the
/// rest to them, if that ends the run clearly sooner: on processors, where rows cost in proportion, and not
/// on devices on which a further row is nearly free.
class BatchFormer {
 public:
  static constexpr double kStretch = 1.1;
  static constexpr double kWorthSpreading = 1.3;  ///< How much longer the whole batch must run.

  BatchFormer(const Scheduler::Options& options, Backlog& backlog);

  /// Fills `items`, and `riders` with what each flow has in it, from the lane of `lead`, which gives the
  /// first item. Items found to be hopeless are unlinked into `hopeless`. `tight` says that a full batch
  /// could make other items late; then each further one is weighed against them, on `device` as it is when
  /// the first item alone runs. `idle` is the number of further slots that could run the model now. Leaves
  /// `items` empty when every item of `lead` was hopeless. `lead` may be released.
  void Form(Subqueue& lead, TimePoint now, bool tight, const DeadlineLine::Device& device,
            std::vector<WorkItem*>& items, std::vector<Running::Rider>& riders,
            std::vector<WorkItem*>& hopeless, std::uint32_t idle);

 private:
  /// A flow that may have a part in the batch.
  struct Candidate {
    Subqueue* subqueue;
    double tag;       // Its tenant's, with the rows taken so far.
    double row_cost;  // Over the tenant's weight.
    bool blocked;     // Nothing of it fits for now.
  };
  enum class Take : std::uint8_t { kTaken, kNone, kFull };
  Take TakeHead(Subqueue& subqueue, std::uint32_t most_rows);
  [[nodiscard]] bool MayGrow(std::uint32_t rows, TimePoint deadline) const;
  [[nodiscard]] bool HurtsOthers(const WorkItem& item) const;
  [[nodiscard]] std::uint32_t MostRows(const Subqueue& rider) const;
  /// What this batch should take of `rows` waiting ones.
  [[nodiscard]] std::uint32_t PartOf(std::uint32_t rows, std::uint32_t idle) const;
  void AddCandidate(Subqueue& subqueue, double row_cost);
  /// Makes candidates of the flows that wait in `lane`.
  void Gather(Lane& lane, double row_cost);
  /// Fills up with less urgent items that stretch the run only a little.
  void FillFromLowerClasses(double row_cost);
  void Fill();
  void Finish(std::vector<Running::Rider>& riders);

  const bool fifo_;
  Backlog& backlog_;
  // The batch being formed.
  TimePoint now_{};
  bool tight_ = false;
  DeadlineLine::Device device_;  // As if the first item alone ran.
  const Model* model_ = nullptr;
  const LatencyFit* fit_ = nullptr;
  const Lane* lane_ = nullptr;
  TimePoint tightest_ = kNever;
  std::uint32_t rows_ = 0;
  std::uint32_t max_rows_ = 0;
  double lead_weight_ = 1;
  Duration longest_run_{};  // What no further item may stretch the predicted run beyond.
  bool full_ = false;
  std::vector<Candidate> candidates_;  // The lead first.
  std::vector<Subqueue*> joining_;     // Scratch of Gather().
  std::vector<WorkItem*>* items_ = nullptr;
  std::vector<WorkItem*>* hopeless_ = nullptr;
};

}  // namespace mezzo::sched::internal
