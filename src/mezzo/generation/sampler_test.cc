#include "mezzo/generation/sampler.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::generation {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::size_t kElements = 16;

/// Stable Diffusion's noise, with more members.
SchedulerConfig Config(const std::string& more = "", const std::string& name = "DDIMScheduler") {
  return ParseSchedulerConfig(
             R"({"beta_schedule":"scaled_linear","beta_start":0.00085,"beta_end":0.012,"clip_sample":false,)" +
             (more.empty() ? "" : more + ",") + R"("_class_name":")" + name + "\"}")
      .value();
}

SamplerOptions Named(std::string name, std::size_t steps = 10, double strength = 1) {
  return {.name = std::move(name), .steps = steps, .strength = strength, .elements = kElements};
}

std::string Fault(const SchedulerConfig& config, const SamplerOptions& options) {
  TorchRandom random(0);
  const auto made = MakeSampler(config, options, random);
  return made.ok() ? "none" : made.error().ToString();
}

std::vector<float> Noise(std::uint64_t seed) {
  std::vector<float> noise(kElements);
  TorchRandom(seed).Randn(noise);
  return noise;
}

/// A model that knows the picture: from latents that are the picture under noise it tells that noise,
/// whatever the way the sampler scales its input.
void FindNoise(const Sampler& sampler, std::span<const float> picture, std::span<const float> latents,
               std::span<float> output) {
  const std::vector<float> zeros(kElements);
  const std::vector<float> ones(kElements, 1);
  std::vector<float> signal(kElements);
  std::vector<float> noise(kElements);
  sampler.AddNoise(ones, zeros, sampler.step_index(), signal);
  sampler.AddNoise(zeros, ones, sampler.step_index(), noise);
  for (std::size_t i = 0; i < kElements; ++i) output[i] = (latents[i] - signal[i] * picture[i]) / noise[i];
}

class EverySampler : public testing::TestWithParam<std::string_view> {
 protected:
  std::unique_ptr<Sampler> Make(TorchRandom& random, double strength = 1, std::size_t steps = 20) {
    // PNDM with a Runge-Kutta start can't begin in the middle.
    const SchedulerConfig config = Config(R"("skip_prk_steps":true,"set_alpha_to_one":true)");
    auto made = MakeSampler(config, Named(std::string(GetParam()), steps, strength), random);
    MEZZO_CHECK(made.ok());
    return std::move(made).value();
  }
};
INSTANTIATE_TEST_SUITE_P(Names, EverySampler, testing::ValuesIn(SamplerNames().begin(), SamplerNames().end()),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(EverySampler, FindsThePictureThatItsModelKnows) {
  TorchRandom random(1);
  const auto sampler = Make(random);
  std::vector<float> picture(kElements);
  for (std::size_t i = 0; i < kElements; ++i) picture[i] = std::sin(static_cast<float>(i));
  std::vector<float> latents = Noise(2);
  for (float& value : latents) value *= sampler->init_noise_sigma();
  std::vector<float> output(kElements);

  while (!sampler->done()) {
    FindNoise(*sampler, picture, latents, output);
    sampler->Step(output, latents);
  }

  for (std::size_t i = 0; i < kElements; ++i) EXPECT_NEAR(latents[i], picture[i], 0.05) << i;
}

TEST_P(EverySampler, IsTheSameWithTheSameSeedAndInterleavedWithOthers) {
  std::vector<std::vector<float>> finals;
  for (const bool interleaved : {false, true}) {
    TorchRandom random(5);
    TorchRandom other_random(6);
    const auto sampler = Make(random);
    const auto other = Make(other_random);
    std::vector<float> latents = Noise(7);
    std::vector<float> other_latents = Noise(8);
    while (!sampler->done()) {
      sampler->Step(std::vector<float>(latents), latents);
      if (interleaved) other->Step(std::vector<float>(other_latents), other_latents);
    }
    finals.push_back(latents);
  }
  EXPECT_EQ(finals[0], finals[1]);
  EXPECT_THAT(finals[0], Each(testing::Truly([](float value) { return std::isfinite(value); })));
}

TEST_P(EverySampler, RunsTheLaterStepsWhenTheStrengthIsLow) {
  TorchRandom random(1);
  const auto whole = Make(random);
  const auto part = Make(random, 0.25);

  const auto all = whole->timesteps();
  ASSERT_LT(part->timesteps().size(), all.size());
  EXPECT_TRUE(std::equal(part->timesteps().rbegin(), part->timesteps().rend(), all.rbegin()));
  EXPECT_TRUE(std::is_sorted(all.rbegin(), all.rend()));
}

TEST_P(EverySampler, RunsInASingleStep) {
  TorchRandom random(1);
  const auto sampler = Make(random, 1, 1);
  std::vector<float> latents = Noise(7);

  sampler->Step(Noise(8), latents);

  EXPECT_TRUE(sampler->done());
  EXPECT_THAT(latents, Each(testing::Truly([](float value) { return std::isfinite(value); })));
}

TEST_P(EverySampler, AddsLessNoiseForLaterSteps) {
  TorchRandom random(1);
  const auto sampler = Make(random);
  const std::vector<float> zeros(kElements);
  const std::vector<float> ones(kElements, 1);
  std::vector<float> first(kElements);
  std::vector<float> last(kElements);

  sampler->AddNoise(zeros, ones, 0, first);
  sampler->AddNoise(zeros, ones, sampler->timesteps().size() - 1, last);

  EXPECT_GT(first[0], last[0]);
  EXPECT_GT(last[0], 0);
}

TEST(Sampler, ScalesTheInputOfEulersSamplersToUnitVariance) {
  TorchRandom random(1);
  const auto euler = MakeSampler(Config(), Named("euler"), random).value();
  const auto ddim = MakeSampler(Config(), Named("ddim"), random).value();
  const std::vector<float> sigma(kElements, euler->init_noise_sigma());
  std::vector<float> scaled(kElements);

  euler->ScaleModelInput(sigma, scaled);
  EXPECT_NEAR(scaled[0], sigma[0] / std::sqrt(sigma[0] * sigma[0] + 1), 1e-6);
  ddim->ScaleModelInput(sigma, scaled);
  EXPECT_EQ(scaled, sigma);
}

TEST(Sampler, OnlyStochasticSamplersDrawNoise) {
  const std::vector<std::string_view> quiet = {"ddim",         "pndm",     "plms",           "euler",
                                               "euler_karras", "dpmpp_2m", "dpmpp_2m_karras"};
  for (const std::string_view name : SamplerNames()) {
    TorchRandom random(9);
    const auto sampler = MakeSampler(Config(), Named(std::string(name)), random).value();
    std::vector<float> latents = Noise(1);
    sampler->Step(Noise(2), latents);

    std::vector<float> next(kElements);
    random.Randn(next);
    const bool drew_none = next == Noise(9);
    EXPECT_EQ(drew_none, std::find(quiet.begin(), quiet.end(), name) != quiet.end()) << name;
  }
}

TEST(Sampler, TheTypeOfTheNoiseIsThatOfTheLatents) {
  TorchRandom random(9);
  TorchRandom same(9);
  SamplerOptions options = Named("euler_ancestral");
  options.noise_type = NormalType::kFloat16;
  const auto half = MakeSampler(Config(), options, random).value();
  std::vector<float> noise(kElements);
  same.Randn(noise, NormalType::kFloat16);
  std::vector<float> latents(kElements);
  const std::vector<float> output(kElements);

  half->Step(output, latents);

  for (std::size_t i = 0; i < kElements; ++i) EXPECT_NEAR(latents[i] / latents[0], noise[i] / noise[0], 1e-4);
}

TEST(Sampler, EtaMakesDdimStochastic) {
  SamplerOptions options = Named("ddim");
  options.eta = 1;
  TorchRandom random(9);
  const auto sampler = MakeSampler(Config(), options, random).value();
  TorchRandom unused(9);
  const auto plain = MakeSampler(Config(), Named("ddim"), unused).value();
  std::vector<float> noisy = Noise(1);
  std::vector<float> smooth = noisy;

  sampler->Step(Noise(2), noisy);
  plain->Step(Noise(2), smooth);

  EXPECT_NE(noisy, smooth);
}

TEST(MakeSampler, PndmAsksForSomeTimestepsTwice) {
  TorchRandom random(1);
  const auto plms = MakeSampler(Config(R"("steps_offset":1)"), Named("plms", 4), random).value();
  const auto pndm = MakeSampler(Config(), Named("pndm", 4), random).value();

  EXPECT_THAT(plms->timesteps(), ElementsAre(751, 501, 501, 251, 1));
  EXPECT_THAT(pndm->timesteps(), ElementsAre(750, 625, 625, 500, 500, 375, 375, 250, 250, 125, 125, 0, 0));
}

TEST(MakeSampler, TakesTheClassOfTheConfigurationUnlessANameOverridesIt) {
  TorchRandom random(1);
  const SchedulerConfig euler =
      Config(R"("timestep_spacing":"leading","steps_offset":1)", "EulerDiscreteScheduler");

  const auto own = MakeSampler(euler, Named(""), random).value();
  const auto by_name = MakeSampler(euler, Named("ddim"), random).value();
  const auto by_class = MakeSampler(euler, Named("DDIMScheduler"), random).value();

  EXPECT_GT(own->init_noise_sigma(), 5);
  EXPECT_EQ(by_name->init_noise_sigma(), 1);
  EXPECT_EQ(by_name->timesteps()[0], 901);
  EXPECT_TRUE(
      std::equal(by_class->timesteps().begin(), by_class->timesteps().end(), by_name->timesteps().begin()));
}

TEST(MakeSampler, LeavesOutTheStepThatNumPyMakesTooMany) {
  TorchRandom random(1);
  const auto sampler =
      MakeSampler(Config(R"("timestep_spacing":"trailing")"), Named("ddim", 61), random).value();

  EXPECT_EQ(sampler->timesteps().size(), 61U);
  EXPECT_EQ(sampler->timesteps().front(), 999);
  EXPECT_GE(sampler->timesteps().back(), 0);
}

TEST(MakeSampler, ErrorsSayWhatWasAskedAndWhatIsPossible) {
  EXPECT_THAT(
      Fault(Config(), Named("heun")),
      HasSubstr(
          "INVALID_ARGUMENT sampler_unknown: there is no sampler 'heun'; there are ddim, pndm, plms, euler"));
  EXPECT_EQ(Fault(Config(), Named("ddim", 0)),
            "INVALID_ARGUMENT sampler_steps: 0 steps are asked for; the model has 1 to 1000");
  EXPECT_EQ(Fault(Config(), Named("ddim", 1001)),
            "INVALID_ARGUMENT sampler_steps: 1001 steps are asked for; the model has 1 to 1000");
  EXPECT_EQ(Fault(Config(), Named("ddim", 10, 0)),
            "INVALID_ARGUMENT sampler_strength: strength is 0, must be above 0 and at most 1");
  EXPECT_EQ(Fault(Config(), Named("ddim", 10, std::nan(""))),
            "INVALID_ARGUMENT sampler_strength: strength is nan, must be above 0 and at most 1");
  EXPECT_EQ(Fault(Config(), Named("ddim", 10, 0.09)),
            "INVALID_ARGUMENT sampler_strength: strength 0.09 of 10 steps leaves none to run");
  EXPECT_EQ(Fault(Config(), Named("lcm", 51)),
            "INVALID_ARGUMENT sampler_steps: 51 steps are asked for; LCM with original_inference_steps 50 "
            "and strength 1 "
            "has 1 to 50");
  EXPECT_EQ(Fault(Config(), Named("pndm", 3)),
            "INVALID_ARGUMENT sampler_steps: 3 steps are asked for; PNDMScheduler with skip_prk_steps false "
            "needs 4");
  EXPECT_EQ(Fault(Config(R"("steps_offset":1)"), Named("ddim", 1000)),
            "INVALID_ARGUMENT sampler_steps: 1000 steps with steps_offset 1 need timestep 1000; the model "
            "has 0 to 999");
}

TEST(MakeSampler, CombinationsThatAreNotBuiltAreNamed) {
  EXPECT_THAT(Fault(Config(R"("prediction_type":"sample")"), Named("euler_ancestral")),
              HasSubstr("UNIMPLEMENTED scheduler_unsupported: EulerAncestralDiscreteScheduler with "
                        "prediction_type sample"));
  EXPECT_THAT(Fault(Config(R"("prediction_type":"sample")"), Named("plms")),
              HasSubstr("PNDMScheduler with prediction"));
  EXPECT_THAT(Fault(Config(), Named("pndm", 10, 0.5)),
              HasSubstr("its Runge-Kutta start needs the first steps"));
  EXPECT_THAT(Fault(Config(R"("algorithm_type":"sde-dpmsolver++","solver_order":3)"),
                    Named("DPMSolverMultistepScheduler")),
              HasSubstr("'solver_order' is 3 with sde-dpmsolver++"));
  EXPECT_THAT(Fault(Config(R"("variance_type":"learned")"), Named("dpmpp_2m")),
              HasSubstr("'variance_type' is"));
  SamplerOptions shorten = Named("ddim", 10, 0.5);
  shorten.strength_rule = StrengthRule::kShortenSchedule;
  EXPECT_THAT(Fault(Config(), shorten), HasSubstr("DDIMScheduler can't shorten its schedule"));
  EXPECT_THAT(Fault(Config(R"("lambda_min_clipped":100)"), Named("dpmpp_2m")),
              HasSubstr("leaves no timestep"));
}

TEST(SamplerDeathTest, AStepTooManyAborts) {
  TorchRandom random(1);
  const auto sampler = MakeSampler(Config(), Named("ddim", 1), random).value();
  std::vector<float> latents(kElements);
  sampler->Step(std::vector<float>(kElements), latents);

  EXPECT_DEATH(sampler->Step(std::vector<float>(kElements), latents), "done");
}

}  // namespace
}  // namespace mezzo::generation
