#pragma once

#include <memory>
#include <utility>

#include "mezzo/inference/inference_call.h"
#include "mezzo/inference/runtime_item.h"
#include "mezzo/models/catalog.h"

namespace mezzo::generation::internal {

class StageItem;

/// What is told that a stage has ended. Kept alive by its items while they are under way.
class StageOwner {
 public:
  virtual ~StageOwner() = default;
  /// On whatever thread ended it, with no lock held; `error` is null when the run gave outputs. May submit
  /// the next stage, also with the same item. Short: the device waits.
  virtual void StageEnded(StageItem& item, const Error* error) = 0;
};

/// One run of a part of a pipeline; used again for the next step.
class StageItem final : public inference::RuntimeItem {
 public:
  explicit StageItem(StageOwner& owner) : owner_(owner) {}

  /// Puts `part` and the call for the next run together; `call()` may be changed between runs. Fails with the
  /// errors of PlanRequest(). Not while it is under way.
  Result<void> Prepare(const models::ModelVersion& part);
  [[nodiscard]] inference::InferenceCall& call() { return call_; }

  /// The outputs of the run that has ended, in the order of the call.
  [[nodiscard]] std::vector<tensor::Tensor>& outputs() { return **result; }
  /// Device time of the run, its share of the batch.
  [[nodiscard]] Duration device_time() const { return report.share; }

  void Finish(const Error* error, const sched::RunReport& run_report) override;

 private:
  StageOwner& owner_;
  inference::InferenceCall call_;
  inference::RequestPlan request_plan_;
};

}  // namespace mezzo::generation::internal
