#include "mezzo/generation/sampler.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/generation/internal/noise_schedule.h"
#include "mezzo/generation/internal/samplers.h"

namespace mezzo::generation {
namespace {

using internal::SamplerRequest;

void Keep(SchedulerConfig* /*config*/) {}
void SkipRungeKutta(SchedulerConfig* config) { config->skip_prk_steps = true; }
void UseKarras(SchedulerConfig* config) { config->use_karras_sigmas = true; }
void UseTwoM(SchedulerConfig* config) {
  config->solver_order = 2;
  config->algorithm_type = DpmAlgorithm::kDpmSolverPlusPlus;
}
void UseTwoMKarras(SchedulerConfig* config) {
  UseTwoM(config);
  UseKarras(config);
}
void UseTwoMSde(SchedulerConfig* config) {
  UseTwoM(config);
  config->algorithm_type = DpmAlgorithm::kSdeDpmSolverPlusPlus;
}
void UseTwoMSdeKarras(SchedulerConfig* config) {
  UseTwoMSde(config);
  UseKarras(config);
}

/// A name that people use, and what it sets in a model's configuration.
struct Named {
  std::string_view name;
  SchedulerKind kind;
  void (*apply)(SchedulerConfig* config);
};
constexpr std::array<Named, 11> kNamed = {{
    {"ddim", SchedulerKind::kDdim, Keep},
    {"pndm", SchedulerKind::kPndm, Keep},
    {"plms", SchedulerKind::kPndm, SkipRungeKutta},
    {"euler", SchedulerKind::kEuler, Keep},
    {"euler_karras", SchedulerKind::kEuler, UseKarras},
    {"euler_ancestral", SchedulerKind::kEulerAncestral, Keep},
    {"dpmpp_2m", SchedulerKind::kDpmMultistep, UseTwoM},
    {"dpmpp_2m_karras", SchedulerKind::kDpmMultistep, UseTwoMKarras},
    {"dpmpp_2m_sde", SchedulerKind::kDpmMultistep, UseTwoMSde},
    {"dpmpp_2m_sde_karras", SchedulerKind::kDpmMultistep, UseTwoMSdeKarras},
    {"lcm", SchedulerKind::kLcm, Keep},
}};

constexpr auto kNames = [] {
  std::array<std::string_view, kNamed.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kNamed[i].name;
  return names;
}();

/// The configuration for the sampler that is asked for.
Result<SchedulerConfig> Choose(SchedulerConfig config, std::string_view name) {
  SchedulerKind kind = config.kind;
  const auto* const named =
      std::find_if(kNamed.begin(), kNamed.end(), [&](const Named& n) { return n.name == name; });
  if (named != kNamed.end()) {
    kind = named->kind;
    named->apply(&config);
  } else if (const auto by_class = SchedulerKindOf(name); by_class.has_value()) {
    kind = *by_class;
  } else if (!name.empty()) {
    return InvalidArgument("sampler_unknown", fmt::format("there is no sampler '{}'; there are {}",
                                                          Printable(name), fmt::join(kNames, ", ")));
  }
  MEZZO_TRY_VOID(CheckSupported(config, kind));
  return Resolve(std::move(config), kind);
}

/// The first step that runs.
Result<std::size_t> FirstStep(const SchedulerConfig& config, const SamplerOptions& options) {
  const auto steps = static_cast<double>(options.steps);
  if (options.steps < 1 || options.steps > config.num_train_timesteps) {
    return InvalidArgument("sampler_steps", fmt::format("{} steps are asked for; the model has 1 to {}",
                                                        options.steps, config.num_train_timesteps));
  }
  if (!(options.strength > 0 && options.strength <= 1)) {
    return InvalidArgument("sampler_strength",
                           fmt::format("strength is {}, must be above 0 and at most 1", options.strength));
  }
  if (options.strength_rule == StrengthRule::kShortenSchedule) {
    if (config.kind == SchedulerKind::kLcm) return std::size_t{0};
    return Unimplemented("scheduler_unsupported",
                         fmt::format("{} can't shorten its schedule", SchedulerClassName(config.kind)));
  }
  const auto run = static_cast<std::size_t>(steps * options.strength);
  if (run == 0) {
    return InvalidArgument("sampler_strength", fmt::format("strength {} of {} steps leaves none to run",
                                                           options.strength, options.steps));
  }
  return options.steps - run;
}

}  // namespace

Sampler::Sampler(SamplerPlan plan)
    : timesteps_(std::move(plan.timesteps)),
      init_noise_sigma_(plan.init_noise_sigma),
      elements_(plan.elements) {}

float Sampler::timestep() const {
  MEZZO_CHECK(!done());
  return timesteps_[step_];
}

void Sampler::ScaleModelInput(std::span<const float> sample, std::span<float> scaled) const {
  MEZZO_CHECK(!done() && sample.size() == elements_ && scaled.size() == elements_);
  const float divisor = InputDivisor(step_);
  for (std::size_t i = 0; i < sample.size(); ++i) scaled[i] = sample[i] / divisor;
}

void Sampler::Step(std::span<const float> model_output, std::span<float> sample) {
  MEZZO_CHECK(!done() && model_output.size() == elements_ && sample.size() == elements_);
  Advance(step_, model_output, sample);
  ++step_;
}

void Sampler::AddNoise(std::span<const float> original, std::span<const float> noise, std::size_t step,
                       std::span<float> noisy) const {
  MEZZO_CHECK(step < timesteps_.size() && original.size() == elements_ && noise.size() == elements_ &&
              noisy.size() == elements_);
  const NoiseLevel level = LevelAt(step);
  for (std::size_t i = 0; i < original.size(); ++i) {
    noisy[i] = level.signal * original[i] + level.noise * noise[i];
  }
}

float Sampler::InputDivisor(std::size_t /*step*/) const { return 1; }

std::span<const std::string_view> SamplerNames() { return kNames; }

Result<std::unique_ptr<Sampler>> MakeSampler(const SchedulerConfig& config, const SamplerOptions& options,
                                             TorchRandom& random) {
  MEZZO_CHECK(options.elements > 0 && options.eta >= 0 && options.eta <= 1);
  SamplerRequest request{.options = options};
  MEZZO_TRY(request.config, Choose(config, options.name));
  MEZZO_TRY(request.first_step, FirstStep(request.config, options));
  switch (request.config.kind) {
    case SchedulerKind::kDdim:
      return internal::MakeDdimSampler(request, random);
    case SchedulerKind::kPndm:
      return internal::MakePndmSampler(request);
    case SchedulerKind::kEuler:
      return internal::MakeEulerSampler(request);
    case SchedulerKind::kEulerAncestral:
      return internal::MakeEulerAncestralSampler(request, random);
    case SchedulerKind::kDpmMultistep:
      return internal::MakeDpmMultistepSampler(request, random);
    case SchedulerKind::kLcm:
      break;
  }
  return internal::MakeLcmSampler(request, random);
}

namespace internal {

SamplerPlan MakePlan(const SamplerRequest& request, std::span<const double> timesteps,
                     float init_noise_sigma) {
  return {.timesteps = ToFloats(timesteps.subspan(request.first_step)),
          .init_noise_sigma = init_noise_sigma,
          .elements = request.options.elements};
}

Result<void> CheckTimestep(const SamplerRequest& request, double timestep) {
  const std::size_t count = request.config.num_train_timesteps;
  if (timestep >= 0 && timestep < static_cast<double>(count)) return {};
  return InvalidArgument(
      "sampler_steps", fmt::format("{} steps with steps_offset {} need timestep {}; the model has 0 to {}",
                                   request.options.steps, request.config.steps_offset, timestep, count - 1));
}

}  // namespace internal
}  // namespace mezzo::generation
