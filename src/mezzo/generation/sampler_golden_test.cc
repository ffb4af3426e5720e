// What Diffusers gives, made by python/golden/make_sampler_golden.py, and the sums of its own tests.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/generation/internal/golden_files.h"
#include "mezzo/generation/sampler.h"

namespace mezzo::generation {
namespace {

using nlohmann::json;

/// The models of the golden runs.
void Linear(std::span<const float> sample, float timestep, std::span<float> output) {
  for (std::size_t i = 0; i < sample.size(); ++i) output[i] = sample[i] * timestep / (timestep + 1);
}
void Wave(std::span<const float> sample, float timestep, std::span<float> output) {
  for (std::size_t i = 0; i < sample.size(); ++i) output[i] = std::sin(sample[i] * 2 + timestep / 1000);
}
using Model = void (*)(std::span<const float>, float, std::span<float>);

void RunSampler(Sampler& sampler, Model model, std::span<float> latents) {
  std::vector<float> scaled(latents.size());
  std::vector<float> output(latents.size());
  while (!sampler.done()) {
    sampler.ScaleModelInput(latents, scaled);
    model(scaled, sampler.timestep(), output);
    sampler.Step(output, latents);
  }
}

SamplerOptions OptionsOf(const json& run, std::size_t elements) {
  return {
      .steps = run["steps"],
      .strength = run["strength"],
      .strength_rule = run["rule"] == "shorten" ? StrengthRule::kShortenSchedule : StrengthRule::kSkipSteps,
      .eta = run["eta"],
      .elements = elements};
}

/// The start of a golden run: noise, or a ramp from -1 to 1 under noise.
std::vector<float> Start(const Sampler& sampler, double strength, TorchRandom& random) {
  std::vector<float> latents(sampler.elements());
  random.Randn(latents);
  if (strength == 1) {
    for (float& value : latents) value *= sampler.init_noise_sigma();
    return latents;
  }
  std::vector<float> picture(latents.size());
  for (std::size_t i = 0; i < picture.size(); ++i) {
    picture[i] = -1 + 2 * static_cast<float>(i) / static_cast<float>(picture.size() - 1);
  }
  sampler.AddNoise(picture, latents, 0, latents);
  return latents;
}

/// The largest difference, relative to the largest number, or to 1 when that is less.
double RelativeError(std::span<const float> got, std::span<const float> wanted) {
  double difference = 0;
  double scale = 1;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got[i]) - static_cast<double>(wanted[i]));
    difference = error <= difference ? difference : error;  // NaN stays.
    scale = std::max(scale, std::fabs(static_cast<double>(wanted[i])));
  }
  return difference / scale;
}

void CheckRun(const SchedulerConfig& config, const json& run, double* worst) {
  const auto timesteps = run["timesteps"].get<std::vector<float>>();
  const auto wanted = run["latents"].get<std::vector<float>>();
  TorchRandom random(run["seed"].get<std::uint64_t>());
  auto made = MakeSampler(config, OptionsOf(run, wanted.size()), random);
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  Sampler& sampler = **made;

  ASSERT_EQ(sampler.timesteps().size(), timesteps.size());
  EXPECT_FLOAT_EQ(sampler.init_noise_sigma(), run["init_noise_sigma"].get<float>());
  EXPECT_LE(RelativeError(sampler.timesteps(), timesteps), 1e-6);
  std::vector<float> latents = Start(sampler, run["strength"], random);
  RunSampler(sampler, run["model"] == "wave" ? Wave : Linear, latents);

  const double error = RelativeError(latents, wanted);
  EXPECT_LE(error, 2e-5);
  *worst = std::max(*worst, error);
}

TEST(SamplerGolden, EveryRunEndsWhereDiffusersEnds) {
  std::size_t runs = 0;
  double worst = 0;
  for (const json& group : internal::ReadGolden("samplers.json")) {
    const auto config = ParseSchedulerConfig(group["config"].dump());
    ASSERT_TRUE(config.ok()) << config.error().ToString();
    for (const json& run : group["cases"]) {
      SCOPED_TRACE(group["config"].dump() + " " + run["steps"].dump() + " steps, strength " +
                   run["strength"].dump() + " " + run["rule"].get<std::string>() + " eta " +
                   run["eta"].dump());
      CheckRun(*config, run, &worst);
      ++runs;
    }
  }
  RecordProperty("runs", static_cast<int>(runs));
  RecordProperty("worst_relative_error", std::to_string(worst * 1e6) + "e-6");
  EXPECT_GE(runs, 450U) << "the file is not whole";
}

/// The latents of Diffusers' scheduler tests: four pictures of 3 x 8 x 8 numbers, counted across the
/// pictures.
std::vector<float> DummySample() {
  constexpr std::size_t kPictures = 4;
  constexpr std::size_t kElements = 3 * 8 * 8;
  std::vector<float> sample;
  for (std::size_t picture = 0; picture < kPictures; ++picture) {
    for (std::size_t i = 0; i < kElements; ++i) {
      sample.push_back(static_cast<float>(i * kPictures + picture) / (kPictures * kElements));
    }
  }
  return sample;
}

/// Those tests take their steps from the scaled input.
void RunTest(Sampler& sampler, std::span<float> latents) {
  std::vector<float> output(latents.size());
  while (!sampler.done()) {
    sampler.ScaleModelInput(latents, latents);
    Linear(latents, sampler.timestep(), output);
    sampler.Step(output, latents);
  }
}

struct Sums {
  double sum = 0;
  double mean = 0;
};
Sums SumsOf(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += std::fabs(value);
  return {.sum = sum, .mean = sum / static_cast<double>(values.size())};
}

/// The runs of those tests: ten steps, all four pictures in one sampler.
std::unique_ptr<Sampler> TestSampler(const std::string& config, double strength, TorchRandom& random,
                                     std::size_t steps = 10) {
  const auto parsed = ParseSchedulerConfig(config);
  return MakeSampler(*parsed, {.steps = steps, .strength = strength, .elements = 768}, random).value();
}
Sums FullLoop(const std::string& config, std::size_t steps = 10) {
  TorchRandom random(0);
  const auto sampler = TestSampler(config, 1, random, steps);
  std::vector<float> sample = DummySample();
  for (float& value : sample) value *= sampler->init_noise_sigma();
  RunTest(*sampler, sample);
  return SumsOf(sample);
}

constexpr double kSumTolerance = 1e-2;
constexpr double kMeanTolerance = 1e-3;

TEST(DiffusersTests, Euler) {
  const Sums sums = FullLoop(R"({"_class_name":"EulerDiscreteScheduler","num_train_timesteps":1100})");
  EXPECT_NEAR(sums.sum, 10.0807, kSumTolerance);
  EXPECT_NEAR(sums.mean, 0.0131, kMeanTolerance);
}

TEST(DiffusersTests, EulerWithVPrediction) {
  const Sums sums = FullLoop(
      R"({"_class_name":"EulerDiscreteScheduler","num_train_timesteps":1100,"prediction_type":"v_prediction"})");
  EXPECT_NEAR(sums.sum, 0.0002, kSumTolerance);
  EXPECT_NEAR(sums.mean, 2.2676e-06, kMeanTolerance);
}

TEST(DiffusersTests, EulerWithKarrasSigmas) {
  const Sums sums = FullLoop(
      R"({"_class_name":"EulerDiscreteScheduler","num_train_timesteps":1100,"use_karras_sigmas":true})");
  EXPECT_NEAR(sums.sum, 124.52299499511719, kSumTolerance);
  EXPECT_NEAR(sums.mean, 0.16213932633399963, kMeanTolerance);
}

TEST(DiffusersTests, Ddim) {
  const Sums sums = FullLoop(R"({"_class_name":"DDIMScheduler"})");
  EXPECT_NEAR(sums.sum, 172.0067, kSumTolerance);
  EXPECT_NEAR(sums.mean, 0.223967, kMeanTolerance);
}

constexpr std::string_view kDpm =
    R"({"_class_name":"DPMSolverMultistepScheduler","lower_order_final":false,"final_sigmas_type":"sigma_min")";

TEST(DiffusersTests, DpmMultistep) {
  EXPECT_NEAR(FullLoop(std::string(kDpm) + "}").mean, 0.3301, kMeanTolerance);
}

TEST(DiffusersTests, DpmMultistepFromTheMiddleUnderNoise) {
  TorchRandom random(0);
  const auto sampler = TestSampler(std::string(kDpm) + "}", 0.5, random);
  std::vector<float> sample = DummySample();
  std::vector<float> noise = sample;
  std::reverse(noise.begin(), noise.end());
  sampler->AddNoise(sample, noise, 0, sample);

  RunTest(*sampler, sample);

  EXPECT_EQ(sampler->timesteps().size(), 5U);
  EXPECT_NEAR(SumsOf(sample).sum, 318.4111, kSumTolerance);
  EXPECT_NEAR(SumsOf(sample).mean, 0.4146, kMeanTolerance);
}

TEST(DiffusersTests, DpmMultistepThresholdsEveryPictureByItself) {
  const auto config = ParseSchedulerConfig(
      std::string(kDpm) +
      R"(,"thresholding":true,"dynamic_thresholding_ratio":0.87,"sample_max_value":0.5})");
  std::vector<float> pictures = DummySample();
  constexpr std::size_t kElements = 3 * 8 * 8;
  TorchRandom random(0);
  double sum = 0;
  for (std::size_t from = 0; from < pictures.size(); from += kElements) {
    const std::span<float> picture = std::span(pictures).subspan(from, kElements);
    const auto sampler = MakeSampler(*config, {.steps = 10, .elements = kElements}, random).value();
    RunTest(*sampler, picture);
    sum += SumsOf(picture).sum;
  }
  EXPECT_NEAR(sum / 768, 1.1364, kMeanTolerance);
}

TEST(DiffusersTests, LcmInOneStep) {
  const Sums sums = FullLoop(R"({"_class_name":"LCMScheduler"})", 1);
  EXPECT_NEAR(sums.sum, 18.7097, kSumTolerance);
  EXPECT_NEAR(sums.mean, 0.0244, kMeanTolerance);
}

TEST(DiffusersTests, LcmInTenSteps) {
  const Sums sums = FullLoop(R"({"_class_name":"LCMScheduler"})");
  EXPECT_NEAR(sums.sum, 197.7616, kSumTolerance);
  EXPECT_NEAR(sums.mean, 0.2575, kMeanTolerance);
}

}  // namespace
}  // namespace mezzo::generation
