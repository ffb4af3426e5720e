#include "mezzo/generation/internal/picture_track.h"

#include <algorithm>
#include <span>
#include <utility>

#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation::internal {
namespace {

using tensor::Shape;

Shape LatentShape(const ImagePlan& plan, std::int64_t rows, std::size_t channels) {
  return {rows, static_cast<std::int64_t>(channels), static_cast<std::int64_t>(plan.latent_height),
          static_cast<std::int64_t>(plan.latent_width)};
}

/// One row of a tensor, without a copy.
tensor::Tensor RowOf(const tensor::Tensor& all, std::int64_t row) {
  tensor::Tensor one = all;
  const auto rows = static_cast<std::size_t>(all.shape[0]);
  const std::size_t bytes = all.data.size() / rows;
  one.shape[0] = 1;
  one.data = all.data.Slice(static_cast<std::size_t>(row) * bytes, bytes);
  return one;
}

}  // namespace

Result<std::unique_ptr<PictureTrack>> PictureTrack::Make(const Pipeline& pipeline, const ImagePlan& plan,
                                                         std::uint64_t seed, StageOwner& owner) {
  std::unique_ptr<PictureTrack> track(new PictureTrack(pipeline, plan, seed, owner));
  SamplerOptions options = plan.sampler;
  // Noise is drawn in the type of the latents, which gives other numbers.
  options.noise_type =
      track->sample_type_ == tensor::DType::kFp16 ? NormalType::kFloat16 : NormalType::kFloat32;
  MEZZO_TRY(track->sampler_, MakeSampler(pipeline.config.scheduler, options, track->random_));
  track->DrawNoise(options.noise_type);
  return track;
}

/// The draws and their order are those of Diffusers' pipelines: a seed gives the picture that it gives there.
void PictureTrack::DrawNoise(NormalType type) {
  const auto draw = [&](std::vector<float>& to) {
    to.resize(plan_.latent_count);
    random_.Randn(to, type);
  };
  const bool distribution =
      pipeline_.vae_encoder != nullptr && FindOutput(*pipeline_.vae_encoder, "latent_parameters") != nullptr;
  if (NeedsPictureLatents() && distribution) draw(picture_draw_);
  draw(noise_);
  if (plan_.paints_in && distribution) draw(masked_draw_);
}

PictureTrack::PictureTrack(const Pipeline& pipeline, const ImagePlan& plan, std::uint64_t seed,
                           StageOwner& owner)
    : pipeline_(pipeline),
      plan_(plan),
      seed_(seed),
      rows_(plan.two_rows ? 2 : 1),
      split_(plan.two_rows && pipeline.unet->config->max_batch_size > 0),
      random_(seed),
      latents_(plan.latent_count),
      scaled_(plan.latent_count / pipeline.config.latent_channels * pipeline.config.unet_channels *
              static_cast<std::size_t>(rows_)),
      outputs_(plan.latent_count * static_cast<std::size_t>(rows_)),
      cache_(plan.step_cache),
      sample_type_(FindInput(*pipeline.unet, "sample")->dtype),
      step_(owner),
      second_(owner),
      decode_(owner),
      preview_item_(owner) {
  for (StageItem* item : {&step_, &second_}) {
    item->chain = this;
    item->chain_rows = static_cast<std::uint32_t>(rows_);
  }
}

void PictureTrack::Begin(const Conditions& conditions, const Start& start) {
  start_ = &start;
  if (NeedsPictureLatents()) picture_latents_ = Draw(*start.picture, picture_draw_);
  if (plan_.sees_mask) masked_latents_ = Draw(*start.masked, masked_draw_);
  // Inpainting with all of the schedule starts from noise alone.
  if (plan_.from_picture && (!plan_.paints_in || plan_.sampler.strength < 1)) {
    sampler_->AddNoise(picture_latents_, noise_, 0, latents_);
  } else {
    std::transform(noise_.begin(), noise_.end(), latents_.begin(),
                   [sigma = sampler_->init_noise_sigma()](float value) { return value * sigma; });
  }

  std::int64_t row = 0;
  for (StageItem* item : StepItems()) Describe(*item, conditions, row++);
}

std::span<StageItem* const> PictureTrack::StepItems() const {
  return std::span(step_items_).first(split_ ? 2 : 1);
}

void PictureTrack::Describe(StageItem& item, const Conditions& conditions, std::int64_t row) {
  inference::InferenceCall& call = item.call();
  call.model = pipeline_.unet->name;
  call.outputs.push_back({.name = "out_sample"});
  call.inputs.push_back({.name = "sample", .tensor = {}});
  call.inputs.push_back({.name = "timestep", .tensor = {}});
  for (const inference::NamedTensor& condition : conditions) {
    call.inputs.push_back(condition);
    if (split_) call.inputs.back().tensor = RowOf(condition.tensor, row);
  }
}

bool PictureTrack::NeedsPictureLatents() const {
  // Networks that see the masked picture need no other when they start from noise alone.
  return plan_.from_picture && (!plan_.sees_mask || plan_.sampler.strength < 1);
}

std::vector<float> PictureTrack::Draw(const PictureLatents& latents, std::span<const float> noise) const {
  std::vector<float> drawn(latents.mean);
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (!latents.deviation.empty()) drawn[i] += latents.deviation[i] * noise[i];
    drawn[i] *= pipeline_.config.scaling_factor;
  }
  return drawn;
}

void PictureTrack::Restore() {
  const std::span<float> known(scaled_.data(), plan_.latent_count);  // Free between steps.
  if (sampler_->done()) {
    std::copy(picture_latents_.begin(), picture_latents_.end(), known.begin());
  } else {
    sampler_->AddNoise(picture_latents_, noise_, sampler_->step_index(), known);
  }
  const std::vector<float>& mask = start_->mask;
  for (std::size_t i = 0; i < latents_.size(); ++i) {
    const float anew = mask[i % mask.size()];
    latents_[i] = (1 - anew) * known[i] + anew * latents_[i];
  }
}

void PictureTrack::AppendMask(std::span<float> row) const {
  auto to = row.begin() + static_cast<std::ptrdiff_t>(plan_.latent_count);
  to = std::copy(start_->mask.begin(), start_->mask.end(), to);
  std::copy(masked_latents_.begin(), masked_latents_.end(), to);
}

Result<std::span<StageItem* const>> PictureTrack::NextStage() {
  if (sampler_->done()) {
    MEZZO_TRY_VOID(PrepareDecoding(decode_));
    return std::span<StageItem* const>(&decode_items_, 1);
  }
  MEZZO_TRY_VOID(PrepareStep());
  return StepItems();
}

Result<StageItem*> PictureTrack::NextPreview(std::size_t previews) {
  if (previews == 0 || sampler_->done() || previewing_.load(std::memory_order_acquire)) return nullptr;
  // Evenly: after 1/(previews + 1), 2/(previews + 1) … of the steps, rounded down.
  const auto due = [&](std::size_t taken) { return taken * (previews + 1) / steps(); };
  if (due(steps_taken()) == due(steps_before_)) return nullptr;
  preview_ = due(steps_taken()) - 1;
  MEZZO_TRY_VOID(PrepareDecoding(preview_item_));
  previewing_.store(true, std::memory_order_relaxed);
  return &preview_item_;
}

std::pair<std::size_t, tensor::Tensor> PictureTrack::FinishPreview() {
  std::pair<std::size_t, tensor::Tensor> shown(preview_, std::move(preview_item_.outputs()[0]));
  previewing_.store(false, std::memory_order_release);
  return shown;
}

Result<void> PictureTrack::PrepareStep() {
  const std::span<float> row(scaled_.data(), scaled_.size() / static_cast<std::size_t>(rows_));
  sampler_->ScaleModelInput(latents_, row.first(plan_.latent_count));
  if (plan_.sees_mask) AppendMask(row);
  if (plan_.two_rows && !split_)
    std::copy(row.begin(), row.end(), scaled_.begin() + static_cast<std::ptrdiff_t>(row.size()));
  const tensor::Tensor sample =
      MakeNumbers(sample_type_, LatentShape(plan_, split_ ? 1 : rows_, pipeline_.config.unet_channels),
                  split_ ? std::span<const float>(row) : std::span<const float>(scaled_));
  const auto items = StepItems();
  for (StageItem* item : items) {
    item->call().inputs[0].tensor = sample;  // The same bytes for both.
    SetTimestep(*item);
    MEZZO_TRY_VOID(item->Prepare(*pipeline_.unet));
  }
  step_items_left_.store(items.size(), std::memory_order_relaxed);
  return {};
}

void PictureTrack::SetTimestep(StageItem& item) {
  const models::TensorConfig& spec = *FindInput(*pipeline_.unet, "timestep");
  const std::int64_t rows = split_ ? 1 : rows_;
  const std::vector<float> values(static_cast<std::size_t>(rows), sampler_->timestep());
  // A list has one for each row, so that rows of a batch may be at different steps.
  const bool list = spec.shape.rank() == 1;
  const std::span<const float> numbers(values.data(), list ? values.size() : 1);
  item.call().inputs[1].tensor = MakeNumbers(spec.dtype, list ? Shape{rows} : Shape{}, numbers);
}

Result<void> PictureTrack::FinishStep() {
  steps_before_ = steps_taken();
  std::span<float> rest(outputs_);
  for (StageItem* item : StepItems()) {
    const std::size_t numbers = split_ ? plan_.latent_count : outputs_.size();
    MEZZO_TRY_VOID(ReadNumbers(item->outputs()[0], rest.first(numbers)));
    rest = rest.subspan(numbers);
  }
  const std::span<float> prediction(outputs_.data(), plan_.latent_count);
  if (plan_.two_rows) {
    // Classifier-free guidance (Ho and Salimans, 2022): away from the unconditional prediction.
    const std::span<const float> conditional(outputs_.data() + plan_.latent_count, plan_.latent_count);
    const auto guidance = static_cast<float>(plan_.guidance);
    for (std::size_t i = 0; i < prediction.size(); ++i)
      prediction[i] += guidance * (conditional[i] - prediction[i]);
  }
  TakeStep(prediction);
  cache_.Keep(prediction);
  for (auto again = cache_.Reuse(steps_taken(), steps()); !again.empty();
       again = cache_.Reuse(steps_taken(), steps())) {
    TakeStep(again);
  }
  return {};
}

void PictureTrack::TakeStep(std::span<const float> prediction) {
  sampler_->Step(prediction, latents_);
  if (plan_.paints_in && !plan_.sees_mask) Restore();
}

Result<void> PictureTrack::PrepareDecoding(StageItem& item) {
  const models::TensorConfig& spec = *FindInput(*pipeline_.vae_decoder, "latent_sample");
  inference::InferenceCall& call = item.call();
  call.model = pipeline_.vae_decoder->name;
  std::vector<float> unscaled(latents_.size());
  std::transform(latents_.begin(), latents_.end(), unscaled.begin(),
                 [scale = pipeline_.config.scaling_factor](float value) { return value / scale; });
  call.inputs.assign(
      1, {.name = "latent_sample",
          .tensor = MakeNumbers(spec.dtype, LatentShape(plan_, 1, pipeline_.config.latent_channels),
                                std::span<const float>(unscaled))});
  call.outputs.assign(1, {.name = "sample"});
  return item.Prepare(*pipeline_.vae_decoder);
}

}  // namespace mezzo::generation::internal
