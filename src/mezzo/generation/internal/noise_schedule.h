#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "mezzo/generation/scheduler_config.h"

// The schedules of Diffusers: how noisy the training was at each timestep, and which timesteps a run visits.
// The configuration is one of Resolve(). Rounding follows NumPy and PyTorch, so that timesteps are exactly
// theirs.
namespace mezzo::generation::internal {

/// The share of the picture left at each training timestep: the product of all 1 - beta up to it. One number
/// for each of `num_train_timesteps`, falling.
std::vector<float> AlphasCumprod(const SchedulerConfig& config);

/// The same for samplers that work with sigmas: after rescaling to zero signal, the last one is 2^-24 instead
/// of 0, so that no sigma is infinite.
std::vector<float> AlphasCumprodForSigmas(const SchedulerConfig& config);

/// sqrt((1 - a) / a) of each.
std::vector<float> SigmasOf(std::span<const float> alphas_cumprod);
/// Natural logarithms.
std::vector<float> LogsOf(std::span<const float> sigmas);

/// How the steps lie on the timesteps 0 to `range` - 1.
struct Spacing {
  TimestepSpacing kind = TimestepSpacing::kLeading;
  std::size_t range = 1000;
  std::size_t train_range = 1000;  ///< Of the training: `range`, or more when its noisiest end is left out.
  std::size_t steps = 1;
  std::size_t offset = 0;  ///< Added by kLeading only.
};
/// The timesteps of a run, falling: `steps` of them, fewer of kTrailing when range < train_range. kLinspace
/// gives fractions.
std::vector<double> SpaceTimesteps(const Spacing& spacing);
/// Rounded to whole numbers, ties to even.
std::vector<double> Rounded(std::vector<double> timesteps);

/// numpy.linspace(first, last, count).
std::vector<double> Linspace(double first, double last, std::size_t count);
/// The sigmas at timesteps that may be fractions, linearly between neighbours.
std::vector<double> InterpolateSigmas(std::span<const double> timesteps, std::span<const float> sigmas);
/// `count` sigmas from `sigma_max` down to `sigma_min` (Karras et al. 2022, equation 5, rho 7).
std::vector<double> KarrasSigmas(double sigma_min, double sigma_max, std::size_t count);
/// The timesteps, with fractions, whose logarithms of sigmas (rising) these are.
std::vector<double> TimestepsOfSigmas(std::span<const double> sigmas, std::span<const float> log_sigmas);

/// To single precision.
std::vector<float> ToFloats(std::span<const double> values);

}  // namespace mezzo::generation::internal
