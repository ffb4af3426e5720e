#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/prediction.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation::internal {
namespace {

class DdimSampler : public Sampler {
 public:
  DdimSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> alphas, TorchRandom& random)
      : Sampler(std::move(plan)),
        type_(request.config.prediction_type),
        stride_(request.config.num_train_timesteps / request.options.steps),
        eta_(static_cast<float>(request.options.eta)),
        noise_type_(request.options.noise_type),
        alphas_(std::move(alphas)),
        final_alpha_(*request.config.set_alpha_to_one ? 1.0F : alphas_.front()),
        predictor_(request.config, elements()),
        noise_(request.options.eta > 0 ? elements() : 0),
        random_(random) {}

 private:
  // Formulas (12) and (16) of the paper.
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    const std::size_t timestep = TimestepAt(step);
    const float alpha = alphas_[timestep];
    const float previous_alpha = timestep >= stride_ ? alphas_[timestep - stride_] : final_alpha_;
    const NoiseLevel level = LevelOfAlpha(alpha);
    const std::span<const float> original = predictor_.Predict(level, output, sample);

    const float variance = (1 - previous_alpha) / (1 - alpha) * (1 - alpha / previous_alpha);
    const float deviation = eta_ * std::sqrt(variance);
    const float signal = std::sqrt(previous_alpha);
    const float direction = std::sqrt(1 - previous_alpha - deviation * deviation);
    for (std::size_t i = 0; i < sample.size(); ++i) {
      sample[i] = signal * original[i] + direction * PredictedNoise(type_, level, output[i], sample[i]);
    }
    if (noise_.empty()) return;
    random_.Randn(noise_, noise_type_);
    for (std::size_t i = 0; i < sample.size(); ++i) sample[i] += deviation * noise_[i];
  }

  [[nodiscard]] NoiseLevel LevelAt(std::size_t step) const override {
    return LevelOfAlpha(alphas_[TimestepAt(step)]);
  }

  [[nodiscard]] std::size_t TimestepAt(std::size_t step) const {
    return static_cast<std::size_t>(timesteps()[step]);
  }

  const PredictionType type_;
  const std::size_t stride_;
  const float eta_;
  const NormalType noise_type_;
  const std::vector<float> alphas_;
  const float final_alpha_;
  OriginalPredictor predictor_;
  std::vector<float> noise_;  // Empty without eta.
  TorchRandom& random_;
};

}  // namespace

SamplerResult MakeDdimSampler(const SamplerRequest& request, TorchRandom& random) {
  const SchedulerConfig& config = request.config;
  const std::vector<double> timesteps = Rounded(SpaceTimesteps({.kind = *config.timestep_spacing,
                                                                .range = config.num_train_timesteps,
                                                                .train_range = config.num_train_timesteps,
                                                                .steps = request.options.steps,
                                                                .offset = config.steps_offset}));
  MEZZO_TRY_VOID(CheckTimestep(request, timesteps.front()));
  return std::unique_ptr<Sampler>(
      std::make_unique<DdimSampler>(MakePlan(request, timesteps), request, AlphasCumprod(config), random));
}

}  // namespace mezzo::generation::internal
