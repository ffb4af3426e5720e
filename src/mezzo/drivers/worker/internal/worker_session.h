#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/drivers/worker/internal/worker_supervisor.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// A model in Python processes. See engine::Session.
class WorkerSession final : public engine::Session {
 public:
  /// How long a run waits for a process when all are being started again.
  static constexpr Duration kLongestWait = std::chrono::seconds(30);

  WorkerSession(std::unique_ptr<WorkerSupervisor> supervisor, std::shared_ptr<SegmentBudget> budget,
                engine::SessionFacts facts, const Clock& clock);
  ~WorkerSession() override;

  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted,
                                          engine::RunControl* control) override;
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override;
  [[nodiscard]] Result<void> Health() const override;

 private:
  class Control;

  Result<std::vector<tensor::Tensor>> RunOnce(std::span<const tensor::Tensor* const> inputs,
                                              const WorkerRunPtr& run);
  /// Copies the inputs to a segment; what describes them goes to `frames` with the run itself.
  Result<void> Prepare(std::span<const tensor::Tensor* const> inputs, WorkerRun& run, SegmentArena& arena,
                       std::vector<OutgoingFrame>& frames) const;

  const Clock& clock_;
  const engine::SessionFacts facts_;
  const std::shared_ptr<SegmentBudget> budget_;
  std::atomic<std::uint64_t> next_run_{1};  // A number that is given once; no partner.
  std::unique_ptr<WorkerSupervisor> supervisor_;
};

}  // namespace mezzo::drivers
