#include "mezzo/generation/internal/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "mezzo/base/check.h"

namespace mezzo::generation::internal {
namespace {

/// torch.linspace() in single precision: from both ends towards the middle.
std::vector<float> TorchLinspace(float first, float last, std::size_t count) {
  std::vector<float> values(count, first);
  if (count == 1) return values;
  const float step = (last - first) / static_cast<float>(count - 1);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = i < count / 2 ? first + step * static_cast<float>(i)
                              : last - step * static_cast<float>(count - i - 1);
  }
  return values;
}

/// The cosine schedule of Nichol and Dhariwal (2021).
std::vector<float> SquaredCosineBetas(std::size_t count) {
  constexpr double kMaxBeta = 0.999;
  const auto alpha_bar = [count](std::size_t i) {
    const double t = static_cast<double>(i) / static_cast<double>(count);
    const double cosine = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return cosine * cosine;
  };
  std::vector<float> betas(count);
  for (std::size_t i = 0; i < count; ++i) {
    betas[i] = static_cast<float>(std::min(1 - alpha_bar(i + 1) / alpha_bar(i), kMaxBeta));
  }
  return betas;
}

std::vector<float> TrainingBetas(const SchedulerConfig& config) {
  if (!config.trained_betas.empty()) return config.trained_betas;
  const std::size_t count = config.num_train_timesteps;
  switch (*config.beta_schedule) {
    case BetaSchedule::kLinear:
      return TorchLinspace(static_cast<float>(*config.beta_start), static_cast<float>(*config.beta_end),
                           count);
    case BetaSchedule::kScaledLinear: {
      std::vector<float> betas = TorchLinspace(static_cast<float>(std::sqrt(*config.beta_start)),
                                               static_cast<float>(std::sqrt(*config.beta_end)), count);
      for (float& beta : betas) beta *= beta;
      return betas;
    }
    case BetaSchedule::kSquaredCosCapV2:
      break;
  }
  return SquaredCosineBetas(count);
}

/// In double precision and rounded at each place, as PyTorch does.
std::vector<float> CumulativeProduct(std::span<const float> betas) {
  std::vector<float> products(betas.size());
  double product = 1;
  for (std::size_t i = 0; i < betas.size(); ++i) {
    product *= 1.0F - betas[i];
    products[i] = static_cast<float>(product);
  }
  return products;
}

/// Betas with no signal left at the last timestep (Lin et al. 2023, algorithm 1).
std::vector<float> RescaleToZeroSignal(std::span<const float> betas) {
  std::vector<float> signal = CumulativeProduct(betas);
  for (float& value : signal) value = std::sqrt(value);
  const float first = signal.front();
  const float last = signal.back();
  for (float& value : signal) value = (value - last) * (first / (first - last));
  std::vector<float> rescaled(signal.size());
  float previous = 1;
  for (std::size_t i = 0; i < signal.size(); ++i) {
    const float squared = signal[i] * signal[i];
    rescaled[i] = 1 - squared / previous;
    previous = squared;
  }
  return rescaled;
}

/// The first `count` values of numpy.arange(first, 0, -step).
std::vector<double> ArangeDown(double first, double step, std::size_t count) {
  const double delta = (first - step) - first;  // What NumPy goes by, rounding included.
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = first + static_cast<double>(i) * delta;
  return values;
}

}  // namespace

std::vector<float> AlphasCumprod(const SchedulerConfig& config) {
  std::vector<float> betas = TrainingBetas(config);
  if (config.rescale_betas_zero_snr) betas = RescaleToZeroSignal(betas);
  return CumulativeProduct(betas);
}

std::vector<float> AlphasCumprodForSigmas(const SchedulerConfig& config) {
  std::vector<float> alphas = AlphasCumprod(config);
  if (config.rescale_betas_zero_snr) alphas.back() = 0x1p-24F;
  return alphas;
}

std::vector<float> SigmasOf(std::span<const float> alphas_cumprod) {
  std::vector<float> sigmas;
  sigmas.reserve(alphas_cumprod.size());
  for (const float alpha : alphas_cumprod) sigmas.push_back(std::sqrt((1 - alpha) / alpha));
  return sigmas;
}

std::vector<float> LogsOf(std::span<const float> sigmas) {
  std::vector<float> logs;
  logs.reserve(sigmas.size());
  for (const float sigma : sigmas) logs.push_back(std::log(sigma));
  return logs;
}

std::vector<double> SpaceTimesteps(const Spacing& spacing) {
  const std::size_t steps = spacing.steps;
  const auto range = static_cast<double>(spacing.range);
  switch (spacing.kind) {
    case TimestepSpacing::kLinspace: {
      std::vector<double> timesteps = Linspace(0, range - 1, steps);
      std::reverse(timesteps.begin(), timesteps.end());
      return timesteps;
    }
    case TimestepSpacing::kTrailing: {
      const double stride = static_cast<double>(spacing.train_range) / static_cast<double>(steps);
      const auto count = static_cast<std::size_t>(std::ceil(range / stride));
      std::vector<double> timesteps = Rounded(ArangeDown(range, stride, std::min(count, steps)));
      for (double& timestep : timesteps) timestep -= 1;
      return timesteps;
    }
    case TimestepSpacing::kLeading:
      break;
  }
  std::vector<double> timesteps;
  const std::size_t ratio = spacing.range / steps;
  for (std::size_t i = steps; i-- > 0;) timesteps.push_back(static_cast<double>(i * ratio + spacing.offset));
  return timesteps;
}

std::vector<double> Rounded(std::vector<double> timesteps) {
  for (double& timestep : timesteps) timestep = std::nearbyint(timestep);
  return timesteps;
}

std::vector<double> Linspace(double first, double last, std::size_t count) {
  std::vector<double> values(count, first);
  if (count < 2) return values;
  const double step = (last - first) / static_cast<double>(count - 1);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i) * step + first;
  values.back() = last;
  return values;
}

std::vector<double> InterpolateSigmas(std::span<const double> timesteps, std::span<const float> sigmas) {
  std::vector<double> interpolated;
  interpolated.reserve(timesteps.size());
  const auto last = static_cast<double>(sigmas.size() - 1);
  for (const double timestep : timesteps) {
    const double clamped = std::clamp(timestep, 0.0, last);
    const auto below = static_cast<std::size_t>(clamped);
    const double low = sigmas[below];
    const double high = sigmas[std::min(below + 1, sigmas.size() - 1)];
    interpolated.push_back((high - low) * (clamped - static_cast<double>(below)) + low);
  }
  return interpolated;
}

std::vector<double> KarrasSigmas(double sigma_min, double sigma_max, std::size_t count) {
  constexpr double kRho = 7;
  const double min_root = std::pow(sigma_min, 1 / kRho);
  const double max_root = std::pow(sigma_max, 1 / kRho);
  std::vector<double> sigmas = Linspace(0, 1, count);
  for (double& value : sigmas) value = std::pow(max_root + value * (min_root - max_root), kRho);
  return sigmas;
}

std::vector<double> TimestepsOfSigmas(std::span<const double> sigmas, std::span<const float> log_sigmas) {
  constexpr double kSmallest = 1e-10;
  MEZZO_CHECK(log_sigmas.size() >= 2);
  std::vector<double> timesteps;
  timesteps.reserve(sigmas.size());
  for (const double sigma : sigmas) {
    const double log_sigma = std::log(std::max(sigma, kSmallest));
    const auto above = std::upper_bound(log_sigmas.begin(), log_sigmas.end(), log_sigma,
                                        [](double value, float other) { return value < other; });
    const auto count = static_cast<std::size_t>(above - log_sigmas.begin());
    const std::size_t low = std::min(count == 0 ? 0 : count - 1, log_sigmas.size() - 2);
    const double width = log_sigmas[low] - log_sigmas[low + 1];
    const double weight = std::clamp((log_sigmas[low] - log_sigma) / width, 0.0, 1.0);
    timesteps.push_back((1 - weight) * static_cast<double>(low) + weight * static_cast<double>(low + 1));
  }
  return timesteps;
}

std::vector<float> ToFloats(std::span<const double> values) { return {values.begin(), values.end()}; }

}  // namespace mezzo::generation::internal
