#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/prediction.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation::internal {
namespace {

class LcmSampler : public Sampler {
 public:
  LcmSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> alphas, TorchRandom& random)
      : Sampler(std::move(plan)),
        timestep_scaling_(static_cast<float>(request.config.timestep_scaling)),
        noise_type_(request.options.noise_type),
        alphas_(std::move(alphas)),
        predictor_(request.config, elements()),
        noise_(elements()),
        random_(random) {}

 private:
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    const std::span<const float> original = predictor_.Predict(LevelAt(step), output, sample);

    // The boundary conditions of a consistency model: at timestep 0 the sample is the picture.
    constexpr float kDataVariance = 0.25F;
    const float scaled = timesteps()[step] * timestep_scaling_;
    const float skip = kDataVariance / (scaled * scaled + kDataVariance);
    const float out = scaled / std::sqrt(scaled * scaled + kDataVariance);
    for (std::size_t i = 0; i < sample.size(); ++i) sample[i] = out * original[i] + skip * sample[i];

    if (step + 1 == timesteps().size()) return;
    random_.Randn(noise_, noise_type_);
    const NoiseLevel next = LevelAt(step + 1);
    for (std::size_t i = 0; i < sample.size(); ++i) {
      sample[i] = next.signal * sample[i] + next.noise * noise_[i];
    }
  }

  [[nodiscard]] NoiseLevel LevelAt(std::size_t step) const override {
    return LevelOfAlpha(alphas_[static_cast<std::size_t>(timesteps()[step])]);
  }

  const float timestep_scaling_;
  const NormalType noise_type_;
  const std::vector<float> alphas_;
  OriginalPredictor predictor_;
  std::vector<float> noise_;
  TorchRandom& random_;
};

}  // namespace

SamplerResult MakeLcmSampler(const SamplerRequest& request, TorchRandom& random) {
  const SchedulerConfig& config = request.config;
  const SamplerOptions& options = request.options;
  const std::size_t original_steps = config.original_inference_steps;
  if (original_steps > config.num_train_timesteps) {
    return InvalidArgument(
        "scheduler_config_invalid",
        fmt::format("'original_inference_steps' is {}, must not exceed num_train_timesteps, {}",
                    original_steps, config.num_train_timesteps));
  }
  // The steps of the distillation, of which this run takes some, evenly spaced.
  const bool shortens = options.strength_rule == StrengthRule::kShortenSchedule;
  const double share = shortens ? options.strength : 1.0;
  const auto distilled = static_cast<std::size_t>(static_cast<double>(original_steps) * share);
  if (options.steps > distilled) {
    return InvalidArgument(
        "sampler_steps",
        fmt::format("{} steps are asked for; LCM with original_inference_steps {} and strength {} "
                    "has 1 to {}",
                    options.steps, original_steps, share, distilled));
  }
  const std::size_t stride = config.num_train_timesteps / original_steps;
  const double spacing = static_cast<double>(distilled) / static_cast<double>(options.steps);
  std::vector<double> timesteps;
  for (std::size_t i = 0; i < options.steps; ++i) {
    const auto skipped = static_cast<std::size_t>(static_cast<double>(i) * spacing);
    timesteps.push_back(static_cast<double>((distilled - skipped) * stride - 1));
  }
  return std::unique_ptr<Sampler>(
      std::make_unique<LcmSampler>(MakePlan(request, timesteps), request, AlphasCumprod(config), random));
}

}  // namespace mezzo::generation::internal
