#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation::internal {
namespace {

/// What both samplers share: latents are the picture plus sigma times noise, and the model's input is scaled
/// to unit variance.
class SigmaSampler : public Sampler {
 protected:
  /// One sigma for each step, and the one behind the last.
  SigmaSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> sigmas)
      : Sampler(std::move(plan)), type_(request.config.prediction_type), sigmas_(std::move(sigmas)) {}

  [[nodiscard]] float sigma(std::size_t step) const { return sigmas_[step]; }

  /// Follows the flow from sigma(step) to `target`.
  void Follow(std::size_t step, float target, std::span<const float> output, std::span<float> sample) const {
    const float from = sigma(step);
    const float change = target - from;
    const float out = -from / std::sqrt(from * from + 1);
    const float skip = from * from + 1;
    for (std::size_t i = 0; i < sample.size(); ++i) {
      float original = output[i];
      if (type_ == PredictionType::kEpsilon) original = sample[i] - from * output[i];
      if (type_ == PredictionType::kVPrediction) original = output[i] * out + sample[i] / skip;
      sample[i] += (sample[i] - original) / from * change;
    }
  }

 private:
  [[nodiscard]] NoiseLevel LevelAt(std::size_t step) const override {
    return {.signal = 1, .noise = sigma(step)};
  }
  [[nodiscard]] float InputDivisor(std::size_t step) const override {
    return std::sqrt(sigma(step) * sigma(step) + 1);
  }

  const PredictionType type_;
  const std::vector<float> sigmas_;
};

class EulerSampler : public SigmaSampler {
 public:
  EulerSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> sigmas)
      : SigmaSampler(std::move(plan), request, std::move(sigmas)) {}

 private:
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    Follow(step, sigma(step + 1), output, sample);
  }
};

class EulerAncestralSampler : public SigmaSampler {
 public:
  EulerAncestralSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> sigmas,
                        TorchRandom& random)
      : SigmaSampler(std::move(plan), request, std::move(sigmas)),
        noise_type_(request.options.noise_type),
        noise_(elements()),
        random_(random) {}

 private:
  /// Goes further down than the next sigma, and back up by fresh noise.
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    const float from = sigma(step) * sigma(step);
    const float to = sigma(step + 1) * sigma(step + 1);
    const float up = std::sqrt(to * (from - to) / from);
    const float down = std::sqrt(std::max(to - up * up, 0.0F));  // Rounding can make it negative.
    Follow(step, down, output, sample);
    random_.Randn(noise_, noise_type_);
    for (std::size_t i = 0; i < sample.size(); ++i) sample[i] += noise_[i] * up;
  }

  const NormalType noise_type_;
  std::vector<float> noise_;
  TorchRandom& random_;
};

/// The steps of a run, all of them.
struct SigmaSchedule {
  std::vector<double> timesteps;
  std::vector<double> sigmas;  ///< One more than timesteps.
};

std::vector<double> SpacedTimesteps(const SamplerRequest& request) {
  const SchedulerConfig& config = request.config;
  return SpaceTimesteps({.kind = *config.timestep_spacing,
                         .range = config.num_train_timesteps,
                         .train_range = config.num_train_timesteps,
                         .steps = request.options.steps,
                         .offset = config.steps_offset});
}

SigmaSchedule EulerSchedule(const SamplerRequest& request) {
  const SchedulerConfig& config = request.config;
  const std::vector<float> sigmas = SigmasOf(AlphasCumprodForSigmas(config));
  const std::vector<float> log_sigmas = LogsOf(sigmas);
  SigmaSchedule schedule{.timesteps = SpacedTimesteps(request), .sigmas = {}};
  const std::size_t steps = schedule.timesteps.size();
  if (config.interpolation_type == SigmaInterpolation::kLogLinear) {
    schedule.sigmas = Linspace(log_sigmas.back(), log_sigmas.front(), steps + 1);
    for (double& sigma : schedule.sigmas) sigma = std::exp(sigma);
  } else {
    schedule.sigmas = InterpolateSigmas(schedule.timesteps, sigmas);
  }
  if (config.use_karras_sigmas) {
    schedule.sigmas = KarrasSigmas(config.sigma_min.value_or(schedule.sigmas.back()),
                                   config.sigma_max.value_or(schedule.sigmas.front()), steps);
    schedule.timesteps = TimestepsOfSigmas(schedule.sigmas, log_sigmas);
  }
  schedule.sigmas.push_back(config.final_sigmas_type == FinalSigma::kSigmaMin ? sigmas.front() : 0);
  return schedule;
}

SigmaSchedule AncestralSchedule(const SamplerRequest& request) {
  SigmaSchedule schedule{.timesteps = SpacedTimesteps(request), .sigmas = {}};
  schedule.sigmas = InterpolateSigmas(schedule.timesteps, SigmasOf(AlphasCumprodForSigmas(request.config)));
  schedule.sigmas.push_back(0);
  return schedule;
}

SamplerPlan PlanOf(const SamplerRequest& request, const SigmaSchedule& schedule) {
  auto sigma = static_cast<float>(*std::max_element(schedule.sigmas.begin(), schedule.sigmas.end()));
  if (request.config.timestep_spacing == TimestepSpacing::kLeading) sigma = std::sqrt(sigma * sigma + 1);
  return MakePlan(request, schedule.timesteps, sigma);
}

std::vector<float> RunSigmas(const SamplerRequest& request, const SigmaSchedule& schedule) {
  return ToFloats(std::span(schedule.sigmas).subspan(request.first_step));
}

}  // namespace

SamplerResult MakeEulerSampler(const SamplerRequest& request) {
  const SigmaSchedule schedule = EulerSchedule(request);
  return std::unique_ptr<Sampler>(
      std::make_unique<EulerSampler>(PlanOf(request, schedule), request, RunSigmas(request, schedule)));
}

SamplerResult MakeEulerAncestralSampler(const SamplerRequest& request, TorchRandom& random) {
  if (request.config.prediction_type == PredictionType::kSample) {
    return Unimplemented("scheduler_unsupported", fmt::format("{} with prediction_type sample",
                                                              SchedulerClassName(request.config.kind)));
  }
  const SigmaSchedule schedule = AncestralSchedule(request);
  return std::unique_ptr<Sampler>(std::make_unique<EulerAncestralSampler>(
      PlanOf(request, schedule), request, RunSigmas(request, schedule), random));
}

}  // namespace mezzo::generation::internal
