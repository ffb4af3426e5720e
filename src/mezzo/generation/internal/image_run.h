#pragma once

#include <atomic>
#include <coroutine>
#include <memory>
#include <optional>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/generation/internal/picture_track.h"
#include "mezzo/generation/internal/prompt_states.h"
#include "mezzo/generation/pipeline.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/ledger/usage.h"

namespace mezzo::generation::internal {

/// One request on its way through a pipeline: encoders of text and pictures side by side, then the steps of
/// each picture one after the other, then its decoding. Whoever ends a stage submits the next one before the
/// device forms its next batch (ADR 0013); no I/O loop is between two steps.
///
/// Ends when nothing of it is queued or runs any more: with all pictures, or with the first error. The
/// coroutine that awaits it owns it; no other thread touches it once it has ended. Thread-safe.
class ImageRun final : public StageOwner {
 public:
  struct Flow {
    sched::TenantIndex tenant{};
    sched::Class cls = sched::Class::kStandard;
    TimePoint deadline = kNever;          ///< No step begins after it.
    tenancy::Account* account = nullptr;  ///< Charged with the device time of every stage; may be null.
  };
  /// Executor, clock and observer (which may be null) outlive it.
  struct Ports {
    sched::DeviceExecutor& executor;
    const Clock& clock;
    ImageObserver* observer = nullptr;
  };

  /// Tokenizes and draws noise: for pools. Errors are those of MakePlan(), MakePromptCall() and
  /// MakeSampler().
  static Result<std::unique_ptr<ImageRun>> Make(Ports ports, Flow flow, PipelineRef pipeline,
                                                ImageRequest request, const ImageLimits& limits);

  /// Starts, and suspends the coroutine until the end. On a loop's thread; once.
  struct Awaiter {
    ImageRun& run;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { run.Start(handle); }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] Awaiter Run() { return {*this}; }
  /// Takes its queued stages out at once; those that run are the last. From any thread.
  void Cancel() EXCLUDES(mu_);

  /// After the end.
  [[nodiscard]] Result<ImageResult> TakeResult() EXCLUDES(mu_);
  [[nodiscard]] Duration device_time() const EXCLUDES(mu_);

  void StageEnded(StageItem& item, const Error* error) override;

 private:
  struct TextStage {
    PromptCall prompt;
    std::unique_ptr<StageItem> item;
  };

  ImageRun(Ports ports, Flow flow, PipelineRef pipeline, ImageRequest request, ImagePlan plan);

  [[nodiscard]] Result<void> AddTexts();
  [[nodiscard]] Result<void> AddEncodings();
  void Start(std::coroutine_handle<> handle);
  void Submit(StageItem& item) EXCLUDES(mu_);
  /// What follows on the end of `item`.
  [[nodiscard]] Result<void> Continue(StageItem& item) EXCLUDES(mu_);
  [[nodiscard]] Result<void> BeginSteps();
  [[nodiscard]] Result<void> ContinueTrack(std::size_t index) EXCLUDES(mu_);
  [[nodiscard]] Result<void> MaybePreview(std::size_t index) EXCLUDES(mu_);
  void Fail(Error error) EXCLUDES(mu_);
  /// One stage less under way; the last one ends the run, and the run may be gone when this returns.
  void Leave();

  const Ports ports_;
  const Flow flow_;
  const PipelineRef pipeline_;
  const ImageRequest request_;
  const ImagePlan plan_;
  std::vector<TextStage> texts_;
  std::vector<std::unique_ptr<StageItem>> encodings_;  // Of the picture, and of the masked one.
  PictureTrack::Start start_;
  std::vector<std::unique_ptr<PictureTrack>> tracks_;
  std::vector<StageItem*> items_;  // All of them.
  TimePoint started_{};
  runtime::Loop* home_ = nullptr;
  std::coroutine_handle<> waiting_;

  std::atomic<std::size_t> under_way_ = 0;  // Its last decrement hands everything to the coroutine.
  mutable Mutex mu_;
  std::size_t stages_before_ GUARDED_BY(mu_) = 0;  // What the first steps wait for.
  std::optional<Error> error_ GUARDED_BY(mu_);     // The first; nothing begins once it is set.
  Duration device_time_ GUARDED_BY(mu_){};
  Duration first_step_ GUARDED_BY(mu_){};
};

}  // namespace mezzo::generation::internal
