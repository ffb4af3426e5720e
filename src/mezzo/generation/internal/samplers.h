#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "mezzo/base/result.h"
#include "mezzo/generation/sampler.h"
#include "mezzo/generation/scheduler_config.h"
#include "mezzo/generation/torch_random.h"

// One function for each sampler, in a file of its own.
namespace mezzo::generation::internal {

/// What MakeSampler() found out.
struct SamplerRequest {
  SchedulerConfig config;  ///< Of Resolve() for the sampler.
  SamplerOptions options;  ///< In their ranges.
  /// The first step that runs: steps * (1 - strength), except of StrengthRule::kShortenSchedule.
  std::size_t first_step = 0;
};

using SamplerResult = Result<std::unique_ptr<Sampler>>;

/// Denoising diffusion implicit models (Song, Meng, Ermon 2020).
SamplerResult MakeDdimSampler(const SamplerRequest& request, TorchRandom& random);
/// Pseudo numerical methods (Liu, Ren, Lin, Zhao 2022): linear multistep, with a Runge-Kutta start or
/// without.
SamplerResult MakePndmSampler(const SamplerRequest& request);
/// Euler's method on the probability flow (Karras et al. 2022, algorithm 2 without churn).
SamplerResult MakeEulerSampler(const SamplerRequest& request);
/// Euler's method with ancestral noise (Crowson, k-diffusion).
SamplerResult MakeEulerAncestralSampler(const SamplerRequest& request, TorchRandom& random);
/// DPM-Solver++ multistep (Lu et al. 2022), deterministic and stochastic.
SamplerResult MakeDpmMultistepSampler(const SamplerRequest& request, TorchRandom& random);
/// Latent consistency models (Luo et al. 2023).
SamplerResult MakeLcmSampler(const SamplerRequest& request, TorchRandom& random);

/// The plan of a run over `timesteps`, of which the first ones are left out as the request says.
SamplerPlan MakePlan(const SamplerRequest& request, std::span<const double> timesteps,
                     float init_noise_sigma = 1);

/// Fails with "sampler_steps" when the timestep lies outside of the training's.
Result<void> CheckTimestep(const SamplerRequest& request, double timestep);

}  // namespace mezzo::generation::internal
