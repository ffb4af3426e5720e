#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mezzo/generation/image_request.h"
#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/generation/internal/picture_input.h"
#include "mezzo/generation/internal/prompt_states.h"
#include "mezzo/generation/internal/stage_item.h"
#include "mezzo/generation/internal/step_cache.h"
#include "mezzo/generation/pipeline.h"
#include "mezzo/generation/sampler.h"
#include "mezzo/generation/torch_random.h"

namespace mezzo::generation::internal {

/// The way of one picture from noise to pixels: its latents, sampler and random numbers, and the items of its
/// steps and of its decoding. One stage is under way at a time, so whoever ends it may go on with the track
/// alone: not thread-safe otherwise.
class PictureTrack {
 public:
  /// Draws the first noise, which costs up to milliseconds. `pipeline` and `owner` outlive the track. Errors:
  /// those of MakeSampler().
  static Result<std::unique_ptr<PictureTrack>> Make(const Pipeline& pipeline, const ImagePlan& plan,
                                                    std::uint64_t seed, StageOwner& owner);
  PictureTrack(const PictureTrack&) = delete;
  PictureTrack& operator=(const PictureTrack&) = delete;

  /// What the networks made of the pixels that a request starts from; shared by its pictures.
  struct Start {
    std::optional<PictureLatents> picture;
    std::optional<PictureLatents> masked;
    std::vector<float> mask;  ///< As in PictureInput.
  };
  /// Takes what all steps are told, and where they start. Before the first step. `start` outlives the track.
  void Begin(const Conditions& conditions, const Start& start);
  /// Makes the next stage ready: the items of a step, or the decoding once all steps are taken. Valid until
  /// the next call. With guidance a step is two items, which may share a run or use two slots.
  Result<std::span<StageItem* const>> NextStage();
  /// True when this was the last item of a step to end: then FinishStep() is due. On any thread.
  [[nodiscard]] bool StepItemEnded() { return step_items_left_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  /// Takes the outputs of the step that has ended, and the steps after it that need no run of the network.
  Result<void> FinishStep();
  /// Takes the picture from the decoding that has ended.
  void FinishDecoding() { sample_ = std::move(decode_.outputs()[0]); }
  /// A decoding of the latents as they are now, beside the steps, when one of `previews` is due after the
  /// last step; null when none is, or when the last one is still under way.
  Result<StageItem*> NextPreview(std::size_t previews);
  /// The sample of the preview that has ended, and its number from 0.
  std::pair<std::size_t, tensor::Tensor> FinishPreview();

  [[nodiscard]] bool IsStep(const StageItem& item) const { return &item == &step_ || &item == &second_; }
  /// All that may be under way.
  [[nodiscard]] std::array<StageItem*, 4> items() { return {&step_, &second_, &decode_, &preview_item_}; }
  [[nodiscard]] StageItem& decode_item() { return decode_; }
  [[nodiscard]] StageItem& preview_item() { return preview_item_; }
  [[nodiscard]] std::size_t steps_taken() const { return sampler_->step_index(); }
  [[nodiscard]] std::size_t steps() const { return sampler_->timesteps().size(); }
  [[nodiscard]] std::size_t steps_reused() const { return cache_.reused(); }
  [[nodiscard]] bool done() const { return sample_.has_value(); }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  /// The decoded picture and the latents that it was made of, once.
  [[nodiscard]] tensor::Tensor TakeSample() { return *std::move(sample_); }
  [[nodiscard]] std::vector<float> TakeLatents() { return std::move(latents_); }

 private:
  PictureTrack(const Pipeline& pipeline, const ImagePlan& plan, std::uint64_t seed, StageOwner& owner);
  Result<void> PrepareStep();
  void Describe(StageItem& item, const Conditions& conditions, std::int64_t row);
  [[nodiscard]] std::span<StageItem* const> StepItems() const;
  /// One step by the network's prediction for it.
  void TakeStep(std::span<const float> prediction);
  Result<void> PrepareDecoding(StageItem& item);
  void SetTimestep(StageItem& item);
  void DrawNoise(NormalType type);
  [[nodiscard]] bool NeedsPictureLatents() const;
  /// Latents of a picture of the request: one draw of its distribution, scaled.
  [[nodiscard]] std::vector<float> Draw(const PictureLatents& latents, std::span<const float> noise) const;
  /// What the mask keeps becomes the picture again, as noisy as the next step expects.
  void Restore();
  /// Mask and masked picture, behind the latents of a row.
  void AppendMask(std::span<float> row) const;

  const Pipeline& pipeline_;
  const ImagePlan& plan_;
  const std::uint64_t seed_;
  const std::int64_t rows_;  // Of a step: 1, or 2 with guidance.
  const bool split_;  // Two rows as two items; networks without a free batch dimension take both at once.
  TorchRandom random_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<float> latents_;
  std::vector<float> noise_;            // With a picture: what its latents are made noisy with.
  std::vector<float> picture_draw_;     // Normal noise for the picture's distribution,
  std::vector<float> masked_draw_;      // and for that of the masked one.
  std::vector<float> picture_latents_;  // With a picture.
  std::vector<float> masked_latents_;   // Of networks that see the mask.
  const Start* start_ = nullptr;
  std::vector<float> scaled_;   // The network's input, row after row.
  std::vector<float> outputs_;  // The network's answer, row after row.
  StepCache cache_;
  std::size_t steps_before_ = 0;  // Taken before the last run of the network.
  tensor::DType sample_type_ = tensor::DType::kFp32;
  StageItem step_;    // Of all rows, or of the unconditional one,
  StageItem second_;  // and this of the conditional one.
  StageItem decode_;
  StageItem preview_item_;
  std::array<StageItem*, 2> step_items_{&step_, &second_};
  StageItem* decode_items_ = &decode_;
  std::atomic<std::size_t> step_items_left_ = 0;  // Hands the items' outputs to whoever ends the step.
  std::size_t preview_ = 0;                       // The number of the one under way.
  std::atomic<bool> previewing_ = false;  // Hands preview_ and preview_item_ from steps to the preview's end.
  std::optional<tensor::Tensor> sample_;
};

}  // namespace mezzo::generation::internal
