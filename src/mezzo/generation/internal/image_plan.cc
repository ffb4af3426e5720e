#include "mezzo/generation/internal/image_plan.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace mezzo::generation::internal {
namespace {

/// What the class of a pipeline takes in Diffusers when a caller names nothing.
struct Defaults {
  std::size_t steps;
  double guidance;
};

Defaults DefaultsOf(PipelineFamily family) {
  switch (family) {
    case PipelineFamily::kStableDiffusion:
      return {.steps = 50, .guidance = 7.5};
    case PipelineFamily::kLatentConsistency:
      return {.steps = 4, .guidance = 8.5};
    case PipelineFamily::kStableDiffusionXl:
      return {.steps = 50, .guidance = 5.0};
  }
  return {.steps = 50, .guidance = 7.5};
}

Error Wrong(std::string message) { return InvalidArgument("image_request", std::move(message)); }

Result<media::FrameSize> SizeOf(const ImageRequest& request, const PipelineConfig& config) {
  const auto side = static_cast<int>(config.default_side);
  media::FrameSize size = request.size.value_or(media::FrameSize{.width = side, .height = side});
  if (request.picture.has_value()) size = request.picture->size();
  const auto factor = static_cast<int>(config.vae_factor);
  if (size.width % factor == 0 && size.height % factor == 0) return size;
  return Wrong(fmt::format("'size' is {}x{}; this pipeline's sides have to be multiples of {}", size.width,
                           size.height, factor));
}

}  // namespace

Result<ImagePlan> MakePlan(const ImageRequest& request, const PipelineConfig& config,
                           const ImageLimits& limits) {
  MEZZO_TRY_VOID(CheckRequest(request, limits));
  const Defaults defaults = DefaultsOf(config.family);
  ImagePlan plan;
  MEZZO_TRY(plan.size, SizeOf(request, config));
  plan.latent_height = static_cast<std::size_t>(plan.size.height) / config.vae_factor;
  plan.latent_width = static_cast<std::size_t>(plan.size.width) / config.vae_factor;
  plan.latent_count = config.latent_channels * plan.latent_height * plan.latent_width;
  plan.guidance = request.guidance.value_or(defaults.guidance);
  plan.two_rows = plan.guidance > 1 && config.guidance_embedding == 0 &&
                  config.family != PipelineFamily::kLatentConsistency;
  plan.from_picture = request.picture.has_value();
  plan.paints_in = request.mask.has_value();
  plan.sees_mask = config.unet_channels != config.latent_channels;
  if (plan.sees_mask && !plan.paints_in)
    return Wrong("this pipeline paints into pictures: 'image' and 'mask' are needed");
  plan.sampler.name = request.sampler;
  plan.sampler.steps = request.steps.value_or(std::min(defaults.steps, config.scheduler.num_train_timesteps));
  if (request.steps_factor < 1) {
    const double fewer = std::round(static_cast<double>(plan.sampler.steps) * request.steps_factor);
    plan.sampler.steps = static_cast<std::size_t>(std::max(fewer, 1.0));
  }
  if (plan.sampler.steps > config.scheduler.num_train_timesteps) {
    return Wrong(fmt::format("'steps' is {}; this pipeline was trained with {}", plan.sampler.steps,
                             config.scheduler.num_train_timesteps));
  }
  if (plan.from_picture) plan.sampler.strength = request.strength;
  if (config.family == PipelineFamily::kLatentConsistency && !plan.paints_in)
    plan.sampler.strength_rule = StrengthRule::kShortenSchedule;
  plan.sampler.eta = request.eta;
  plan.step_cache = request.step_cache;
  plan.sampler.elements = plan.latent_count;
  return plan;
}

}  // namespace mezzo::generation::internal
