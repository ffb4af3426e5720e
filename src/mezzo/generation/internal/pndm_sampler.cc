#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/prediction.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation::internal {
namespace {

constexpr std::size_t kOrder = 4;             // Of the Runge-Kutta start and of the multistep method.
constexpr std::size_t kRungeKuttaSteps = 12;  // Of the start: three times four.

/// Gives the weights of the last predictions, newest first, by how many there are (Adams-Bashforth).
std::span<const float> MultistepWeights(std::size_t count) {
  static constexpr std::array<float, 1> kOne = {1};
  static constexpr std::array<float, 2> kTwo = {3.0F / 2, -1.0F / 2};
  static constexpr std::array<float, 3> kThree = {23.0F / 12, -16.0F / 12, 5.0F / 12};
  static constexpr std::array<float, 4> kFour = {55.0F / 24, -59.0F / 24, 37.0F / 24, -9.0F / 24};
  switch (count) {
    case 1:
      return kOne;
    case 2:
      return kTwo;
    case 3:
      return kThree;
    default:
      return kFour;
  }
}

class PndmSampler : public Sampler {
 public:
  PndmSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> alphas)
      : Sampler(std::move(plan)),
        type_(request.config.prediction_type),
        stride_(request.config.num_train_timesteps / request.options.steps),
        runge_kutta_steps_(request.config.skip_prk_steps ? 0 : kRungeKuttaSteps),
        alphas_(std::move(alphas)),
        final_alpha_(*request.config.set_alpha_to_one ? 1.0F : alphas_.front()),
        combined_(elements()),
        start_(elements()) {
    for (std::vector<float>& prediction : history_) prediction.resize(elements());
  }

 private:
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    if (step < runge_kutta_steps_) {
      RungeKutta(step, output, sample);
    } else {
      Multistep(step, output, sample);
    }
  }

  /// Four predictions make one step of two strides' halves: at its start, twice in its middle, at its end.
  void RungeKutta(std::size_t step, std::span<const float> output, std::span<float> sample) {
    const std::size_t stage = step % kOrder;
    const std::int64_t from = TimestepAt(step - stage);
    const std::int64_t to = TimestepAt(step) - (step % 2 == 0 ? stride_ / 2 : 0);
    if (stage == 0) {
      Remember(output);
      std::copy(sample.begin(), sample.end(), start_.begin());
      std::fill(combined_.begin(), combined_.end(), 0.0F);
    }
    const bool outer = stage == 0 || stage == kOrder - 1;
    const float weight = outer ? 1.0F / 6 : 1.0F / 3;
    for (std::size_t i = 0; i < combined_.size(); ++i) combined_[i] += weight * output[i];

    std::copy(start_.begin(), start_.end(), sample.begin());
    Transfer(from, to, stage == kOrder - 1 ? combined_ : output, sample);
  }

  /// The first step is taken twice: by its own prediction, then by the mean of it and of the one at its end.
  void Multistep(std::size_t step, std::span<const float> output, std::span<float> sample) {
    const std::int64_t timestep = TimestepAt(step);
    if (step == 1) {
      for (std::size_t i = 0; i < combined_.size(); ++i)
        combined_[i] = (output[i] + history_[newest_][i]) / 2;
      std::copy(start_.begin(), start_.end(), sample.begin());
      Transfer(timestep + stride_, timestep, combined_, sample);
      return;
    }
    if (step == 0) std::copy(sample.begin(), sample.end(), start_.begin());
    Remember(output);
    std::fill(combined_.begin(), combined_.end(), 0.0F);
    const std::span<const float> weights = MultistepWeights(remembered_);
    for (std::size_t age = 0; age < weights.size(); ++age) {
      const std::vector<float>& prediction = history_[(newest_ + kOrder - age) % kOrder];
      for (std::size_t i = 0; i < combined_.size(); ++i) combined_[i] += weights[age] * prediction[i];
    }
    Transfer(timestep, timestep - stride_, combined_, sample);
  }

  void Remember(std::span<const float> output) {
    newest_ = (newest_ + 1) % kOrder;
    remembered_ = std::min(remembered_ + 1, kOrder);
    std::copy(output.begin(), output.end(), history_[newest_].begin());
  }

  /// Formula (9) of the paper: from one timestep to another by a prediction.
  void Transfer(std::int64_t from, std::int64_t to, std::span<const float> output,
                std::span<float> sample) const {
    const float alpha = AlphaAt(from);
    const float target = AlphaAt(to);
    const NoiseLevel level = LevelOfAlpha(alpha);
    const float keep = std::sqrt(target / alpha);
    const float divisor = alpha * std::sqrt(1 - target) + std::sqrt(alpha * (1 - alpha) * target);
    const float change = target - alpha;
    for (std::size_t i = 0; i < sample.size(); ++i) {
      const float noise = PredictedNoise(type_, level, output[i], sample[i]);
      sample[i] = keep * sample[i] - change * noise / divisor;
    }
  }

  [[nodiscard]] NoiseLevel LevelAt(std::size_t step) const override {
    return LevelOfAlpha(AlphaAt(TimestepAt(step)));
  }
  [[nodiscard]] std::int64_t TimestepAt(std::size_t step) const {
    return static_cast<std::int64_t>(timesteps()[step]);
  }
  [[nodiscard]] float AlphaAt(std::int64_t timestep) const {
    return timestep >= 0 ? alphas_[static_cast<std::size_t>(timestep)] : final_alpha_;
  }

  const PredictionType type_;
  const std::int64_t stride_;
  const std::size_t runge_kutta_steps_;
  const std::vector<float> alphas_;
  const float final_alpha_;
  std::array<std::vector<float>, kOrder> history_;  // A ring of predictions.
  std::size_t newest_ = 0;
  std::size_t remembered_ = 0;
  std::vector<float> combined_;
  std::vector<float> start_;  // The latents at the start of a step that is taken several times.
};

/// `rising` timesteps with the second last one twice.
std::vector<double> MultistepTimesteps(std::vector<double> rising) {
  if (rising.size() > 1) rising.insert(rising.end() - 1, rising[rising.size() - 2]);
  std::reverse(rising.begin(), rising.end());
  return rising;
}

/// The noisiest three steps become twelve predictions; the rest follows.
std::vector<double> RungeKuttaTimesteps(std::vector<double> rising, double half_stride) {
  std::vector<double> stages;  // Rising, each at its timestep and half a stride noisier.
  for (auto at = rising.end() - kOrder; at != rising.end(); ++at) {
    stages.push_back(*at);
    stages.push_back(*at + half_stride);
  }
  stages.pop_back();
  std::vector<double> twice;
  for (const double stage : stages) twice.insert(twice.end(), 2, stage);
  std::vector<double> timesteps(twice.rbegin() + 1, twice.rend() - 1);
  timesteps.insert(timesteps.end(), rising.rbegin() + (kOrder - 1), rising.rend());
  return timesteps;
}

}  // namespace

SamplerResult MakePndmSampler(const SamplerRequest& request) {
  const SchedulerConfig& config = request.config;
  const SamplerOptions& options = request.options;
  const auto unsupported = [](std::string_view what) {
    return Unimplemented("scheduler_unsupported", fmt::format("PNDMScheduler {}", what));
  };
  if (config.prediction_type == PredictionType::kSample) return unsupported("with prediction_type sample");
  if (!config.skip_prk_steps && request.first_step != 0) {
    return unsupported(
        "with skip_prk_steps false and a strength below 1: its Runge-Kutta start needs the first steps");
  }
  std::vector<double> rising = Rounded(SpaceTimesteps({.kind = *config.timestep_spacing,
                                                       .range = config.num_train_timesteps,
                                                       .train_range = config.num_train_timesteps,
                                                       .steps = options.steps,
                                                       .offset = config.steps_offset}));
  std::reverse(rising.begin(), rising.end());
  if (!config.skip_prk_steps && rising.size() < kOrder) {
    return InvalidArgument(
        "sampler_steps",
        fmt::format("{} steps are asked for; PNDMScheduler with skip_prk_steps false needs {}", options.steps,
                    kOrder));
  }
  const std::size_t stride = config.num_train_timesteps / options.steps;
  const std::vector<double> timesteps =
      config.skip_prk_steps ? MultistepTimesteps(std::move(rising))
                            : RungeKuttaTimesteps(std::move(rising), static_cast<double>(stride / 2));
  MEZZO_TRY_VOID(CheckTimestep(request, *std::max_element(timesteps.begin(), timesteps.end())));
  if (config.skip_prk_steps && timesteps.size() > request.first_step + 1) {
    // The second step goes back by a stride.
    MEZZO_TRY_VOID(CheckTimestep(request, timesteps[request.first_step + 1] + static_cast<double>(stride)));
  }
  return std::unique_ptr<Sampler>(
      std::make_unique<PndmSampler>(MakePlan(request, timesteps), request, AlphasCumprod(config)));
}

}  // namespace mezzo::generation::internal
