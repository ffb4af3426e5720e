#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/scheduler_config.h"
#include "mezzo/generation/torch_random.h"

namespace mezzo::generation {

/// A noisy picture is signal * original + noise * normal noise.
struct NoiseLevel {
  float signal = 1;
  float noise = 0;
};

/// What every sampler is made of.
struct SamplerPlan {
  std::vector<float> timesteps;
  float init_noise_sigma = 1;
  std::size_t elements = 0;
};

/// Leads the latents of ONE picture from noise to the picture, step by step ("scheduler" in Diffusers). Every
/// picture of a batch has a sampler of its own, so that pictures with other steps, seeds and progress can
/// share a run of the model:
///
///     latents = noise * init_noise_sigma(), or AddNoise(picture, noise, 0, latents)
///     while not done():
///       ScaleModelInput(latents, input)
///       output = the model's prediction for (input, timestep()), guidance applied
///       Step(output, latents)
///
/// Latents are the `elements()` numbers of one picture in any fixed order. All memory is made with the
/// sampler (up to six times the latents); no function allocates. Spans of another size, and a Step() when
/// done(), abort.
///
/// Not thread-safe, but may move between threads from call to call.
class Sampler {
 public:
  virtual ~Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// What the model is asked for, one number for each Step(). PNDM asks for some twice. Whole numbers, except
  /// of Euler's samplers with the spacing linspace or Karras' sigmas.
  [[nodiscard]] std::span<const float> timesteps() const { return timesteps_; }
  /// Steps taken.
  [[nodiscard]] std::size_t step_index() const { return step_; }
  [[nodiscard]] bool done() const { return step_ == timesteps_.size(); }
  /// Of the next step; not when done().
  [[nodiscard]] float timestep() const;
  [[nodiscard]] std::size_t elements() const { return elements_; }

  /// What normal noise is multiplied by to start from nothing.
  [[nodiscard]] float init_noise_sigma() const { return init_noise_sigma_; }

  /// The model's input for the next step. `scaled` may be `sample` itself.
  void ScaleModelInput(std::span<const float> sample, std::span<float> scaled) const;

  /// Takes the next step: `model_output` is the model's prediction for timestep(), `sample` the latents,
  /// which are replaced.
  void Step(std::span<const float> model_output, std::span<float> sample);

  /// What `original` looks like before step `step` (below timesteps().size()): the start of an image-to-image
  /// run (step 0), and what the kept part of an inpainted picture is replaced with. `noisy` may be either.
  void AddNoise(std::span<const float> original, std::span<const float> noise, std::size_t step,
                std::span<float> noisy) const;

 protected:
  explicit Sampler(SamplerPlan plan);

 private:
  /// Step number `step`, counted from 0.
  virtual void Advance(std::size_t step, std::span<const float> model_output, std::span<float> sample) = 0;
  /// How noisy latents are before step `step`.
  [[nodiscard]] virtual NoiseLevel LevelAt(std::size_t step) const = 0;
  /// What the model's input for step `step` is divided by.
  [[nodiscard]] virtual float InputDivisor(std::size_t step) const;

  const std::vector<float> timesteps_;
  const float init_noise_sigma_;
  const std::size_t elements_;
  std::size_t step_ = 0;
};

/// What a strength below 1 means for image-to-image.
enum class StrengthRule : std::uint8_t {
  kSkipSteps,        ///< The first steps are left out (Diffusers' image-to-image and inpaint pipelines).
  kShortenSchedule,  ///< All steps run on a shorter schedule (its LCM image-to-image pipeline); LCM only.
};

struct SamplerOptions {
  /// One of SamplerNames(), or a class of Diffusers; empty: what the configuration says.
  std::string name;
  std::size_t steps = 50;  ///< 1 to num_train_timesteps.
  double strength = 1.0;   ///< (0, 1]: how much of the schedule runs; below 1 the run starts from AddNoise().
  StrengthRule strength_rule = StrengthRule::kSkipSteps;
  double eta = 0.0;          ///< [0, 1]: how much noise DDIM adds in each step; other samplers have none.
  std::size_t elements = 0;  ///< Numbers in the latents of one picture, at least 1.
  /// Of the noise that a step draws: the type of the pipeline's latents. DPM++ SDE draws kFloat32 in any
  /// case.
  NormalType noise_type = NormalType::kFloat32;
};

/// "ddim", "dpmpp_2m_karras" and so on, for people.
std::span<const std::string_view> SamplerNames();

/// A sampler for a model's configuration. It draws its noise from `random`, which must outlive it and belongs
/// to the same picture: first the latents are drawn from it, then the steps go on.
///
/// The arithmetic is Diffusers' 0.30 in single precision. Where its spacing "trailing" makes one step too
/// many (a rounding in NumPy's arange), that step, at timestep -1, is left out.
///
/// Errors: "sampler_unknown", "sampler_steps", "sampler_strength" (kInvalidArgument) for what a caller asked,
/// "scheduler_unsupported" (kUnimplemented) for a combination that is not built.
Result<std::unique_ptr<Sampler>> MakeSampler(const SchedulerConfig& config, const SamplerOptions& options,
                                             TorchRandom& random);

}  // namespace mezzo::generation
