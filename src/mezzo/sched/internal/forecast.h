#pragma once

#include <cstdint>
#include <vector>

#include "mezzo/sched/internal/backlog.h"
#include "mezzo/sched/internal/flow_tree.h"
#include "mezzo/sched/internal/flows.h"

namespace mezzo::sched::internal {

/// Predicts when an arriving item would start.
///
/// Work ahead of it is the smaller of: everything queued in its class and what may go before that class; and
/// what the others may get under fair sharing until its own flow's queue and itself are served. That work is
/// poured over the slots as they become free; instances of the model are slots of their own.
class Forecast {
 public:
  Forecast(const FlowTree& tree, const Backlog& backlog) : tree_(tree), backlog_(backlog) {}

  struct Arrival {
    const Tenant* tenant;
    const Model* model;
    Class cls;
    std::uint64_t batch_key;
    std::uint32_t rows;
    TimePoint deadline;
  };
  struct Prediction {
    Duration wait;  ///< Until its batch starts.
    Duration run;   ///< High quantile of that batch's run.
  };
  Prediction Predict(const Arrival& arrival, const std::vector<Running*>& running, std::uint32_t slots,
                     TimePoint now);

 private:
  [[nodiscard]] double FairShareAhead(const Arrival& arrival, const ClassState& cls, double own) const;
  [[nodiscard]] double OtherClasses(const ClassState& cls, double own) const;
  void CollectResiduals(const std::vector<Running*>& running, const Model* model, std::uint32_t slots,
                        TimePoint now);
  [[nodiscard]] double Pour(double work);

  const FlowTree& tree_;
  const Backlog& backlog_;
  std::vector<double> residuals_;  // Scratch: ns until each slot is free.
};

}  // namespace mezzo::sched::internal
