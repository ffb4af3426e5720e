#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/prediction.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation::internal {
namespace {

constexpr std::size_t kMaxOrder = 3;
constexpr std::size_t kFewSteps = 15;  // Below it, lower_order_final lowers the order of the last steps.

/// The level of latents with unit variance.
NoiseLevel LevelOfSigma(float sigma) {
  const float signal = 1 / std::sqrt(sigma * sigma + 1);
  return {.signal = signal, .noise = sigma * signal};
}

/// Half the logarithm of the ratio of signal to noise; infinite without noise.
float Lambda(const NoiseLevel& level) { return std::log(level.signal) - std::log(level.noise); }

/// The next latents are a sum: of the latents, of the predicted pictures of the last steps, newest first, and
/// of fresh noise.
struct Update {
  float sample = 0;
  std::array<float, kMaxOrder> pictures{};
  float noise = 0;
};

class DpmMultistepSampler : public Sampler {
 public:
  /// `sigmas`: one for each step, and the one behind the last. `planned` counts the steps that are left out,
  /// too.
  DpmMultistepSampler(SamplerPlan plan, const SamplerRequest& request, std::vector<float> sigmas,
                      std::size_t planned, TorchRandom& random)
      : Sampler(std::move(plan)),
        order_(request.config.solver_order),
        stochastic_(request.config.algorithm_type == DpmAlgorithm::kSdeDpmSolverPlusPlus),
        heun_(request.config.solver_type == DpmSolverType::kHeun),
        lowers_(request.config.lower_order_final && planned < kFewSteps),
        ends_with_euler_(request.config.euler_at_final || lowers_ ||
                         request.config.final_sigmas_type == FinalSigma::kZero),
        sigmas_(std::move(sigmas)),
        predictor_(request.config, elements()),
        noise_(stochastic_ ? elements() : 0),
        random_(random) {
    for (std::size_t i = 0; i < order_; ++i) pictures_[i].resize(elements());
  }

 private:
  void Advance(std::size_t step, std::span<const float> output, std::span<float> sample) override {
    const std::span<const float> original = predictor_.Predict(LevelAt(step), output, sample);
    // The newest picture takes the memory of the oldest.
    const auto end = pictures_.begin() + static_cast<std::ptrdiff_t>(order_);
    std::rotate(pictures_.begin(), std::prev(end), end);
    std::copy(original.begin(), original.end(), pictures_.front().begin());
    if (stochastic_) random_.Randn(noise_);

    const std::size_t order = OrderAt(step);
    const Update update = UpdateAt(step, order);
    for (float& value : sample) value *= update.sample;
    for (std::size_t age = 0; age < order; ++age) AddTo(sample, update.pictures[age], pictures_[age]);
    if (stochastic_) AddTo(sample, update.noise, noise_);
  }

  static void AddTo(std::span<float> sum, float weight, std::span<const float> values) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += weight * values[i];
  }

  /// How many pictures the step uses.
  [[nodiscard]] std::size_t OrderAt(std::size_t step) const {
    const std::size_t left = timesteps().size() - step;
    if (left == 1 && ends_with_euler_) return 1;
    const std::size_t order = std::min(step + 1, order_);
    return left == 2 && lowers_ ? std::min<std::size_t>(order, 2) : order;
  }

  /// The multistep solver of the paper (algorithm 2), and its stochastic form SDE-DPM-Solver++.
  [[nodiscard]] Update UpdateAt(std::size_t step, std::size_t order) const {
    const NoiseLevel to = LevelOfSigma(sigmas_[step + 1]);
    const NoiseLevel from = LevelOfSigma(sigmas_[step]);
    const float h = Lambda(to) - Lambda(from);
    Update update{.sample = to.noise / from.noise};
    float second = 0;  // The weight of the first difference quotient of the pictures,
    float third = 0;   // and of the second one.
    if (stochastic_) {
      const float lost = 1 - std::exp(-2 * h);
      update.sample *= std::exp(-h);
      update.pictures[0] = to.signal * lost;
      update.noise = to.noise * std::sqrt(lost);
      second = heun_ ? to.signal * (lost / (-2 * h) + 1) : 0.5F * update.pictures[0];
    } else {
      const float growth = std::exp(-h) - 1;
      update.pictures[0] = -(to.signal * growth);
      second = heun_ || order == kMaxOrder ? to.signal * (growth / h + 1) : 0.5F * update.pictures[0];
      third = -(to.signal * ((growth + h) / (h * h) - 0.5F));
    }
    if (order == 2) AddOneDifference(step, h, second, &update);
    if (order == 3) AddTwoDifferences(step, h, second, third, &update);
    return update;
  }

  void AddOneDifference(std::size_t step, float h, float second, Update* update) const {
    const float weight = second * (h / StepBefore(step));
    update->pictures[0] += weight;
    update->pictures[1] = -weight;
  }

  void AddTwoDifferences(std::size_t step, float h, float second, float third, Update* update) const {
    const float r0 = StepBefore(step) / h;
    const float r1 = StepBefore(step - 1) / h;
    const float newer = (second * (1 + r0 / (r0 + r1)) + third / (r0 + r1)) / r0;
    const float older = -(second * r0 + third) / (r0 + r1) / r1;
    update->pictures[0] += newer;
    update->pictures[1] = older - newer;
    update->pictures[2] = -older;
  }

  /// The length of the step before `step`, in lambda.
  [[nodiscard]] float StepBefore(std::size_t step) const {
    return Lambda(LevelAt(step)) - Lambda(LevelAt(step - 1));
  }

  [[nodiscard]] NoiseLevel LevelAt(std::size_t step) const override { return LevelOfSigma(sigmas_[step]); }

  const std::size_t order_;
  const bool stochastic_;
  const bool heun_;
  const bool lowers_;
  const bool ends_with_euler_;
  const std::vector<float> sigmas_;
  OriginalPredictor predictor_;
  std::array<std::vector<float>, kMaxOrder> pictures_;  // order_ of them, newest first.
  std::vector<float> noise_;                            // Empty when not stochastic_.
  TorchRandom& random_;
};

/// The number of training timesteps that are not noisier than lambda_min_clipped.
std::size_t UsedTimesteps(const SchedulerConfig& config, std::span<const float> alphas) {
  if (!config.lambda_min_clipped.has_value()) return alphas.size();
  const auto limit = static_cast<float>(*config.lambda_min_clipped);
  const auto too_noisy = [limit](float alpha) { return Lambda(LevelOfAlpha(alpha)) < limit; };
  const auto clipped = std::find_if(alphas.begin(), alphas.end(), too_noisy);
  return static_cast<std::size_t>(clipped - alphas.begin());
}

/// linspace and leading make one step more, the last of which is left out.
std::vector<double> SpacedTimesteps(const SamplerRequest& request, std::size_t used) {
  const TimestepSpacing kind = *request.config.timestep_spacing;
  const std::size_t extra = kind == TimestepSpacing::kTrailing ? 0 : 1;
  std::vector<double> timesteps = Rounded(SpaceTimesteps({.kind = kind,
                                                          .range = used,
                                                          .train_range = request.config.num_train_timesteps,
                                                          .steps = request.options.steps + extra,
                                                          .offset = request.config.steps_offset}));
  timesteps.resize(timesteps.size() - extra);
  return timesteps;
}

}  // namespace

SamplerResult MakeDpmMultistepSampler(const SamplerRequest& request, TorchRandom& random) {
  const SchedulerConfig& config = request.config;
  const SamplerOptions& options = request.options;
  if (config.solver_order == kMaxOrder && config.algorithm_type == DpmAlgorithm::kSdeDpmSolverPlusPlus) {
    return Unimplemented(
        "scheduler_unsupported",
        "DPMSolverMultistepScheduler: 'solver_order' is 3 with sde-dpmsolver++; supported are 1, 2");
  }
  const std::vector<float> alphas = AlphasCumprodForSigmas(config);
  const std::vector<float> sigmas = SigmasOf(alphas);
  const std::size_t used = UsedTimesteps(config, alphas);
  if (used == 0) {
    return InvalidArgument("scheduler_config_invalid",
                           fmt::format("'lambda_min_clipped' is {}, which leaves no timestep",
                                       config.lambda_min_clipped.value_or(0)));
  }
  std::vector<double> timesteps;
  std::vector<double> run_sigmas;
  if (config.use_karras_sigmas) {
    run_sigmas = KarrasSigmas(config.sigma_min.value_or(sigmas.front()),
                              config.sigma_max.value_or(sigmas.back()), options.steps);
    timesteps = Rounded(TimestepsOfSigmas(run_sigmas, LogsOf(sigmas)));
  } else {
    timesteps = SpacedTimesteps(request, used);
    run_sigmas = InterpolateSigmas(timesteps, sigmas);
  }
  if (timesteps.size() <= request.first_step) {
    return InvalidArgument("sampler_strength", fmt::format("strength {} leaves none of the {} steps to run",
                                                           options.strength, timesteps.size()));
  }
  run_sigmas.push_back(config.final_sigmas_type == FinalSigma::kSigmaMin ? sigmas.front() : 0);
  std::vector<float> left = ToFloats(std::span(run_sigmas).subspan(request.first_step));
  return std::unique_ptr<Sampler>(std::make_unique<DpmMultistepSampler>(
      MakePlan(request, timesteps), request, std::move(left), timesteps.size(), random));
}

}  // namespace mezzo::generation::internal
