#include "mezzo/generation/scheduler_config.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::generation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string With(const std::string& members, const std::string& name = "EulerDiscreteScheduler") {
  return R"({"_class_name":")" + name + R"(",)" + members + "}";
}
std::string Fault(const std::string& json) {
  const auto parsed = ParseSchedulerConfig(json);
  return parsed.ok() ? "none" : parsed.error().ToString();
}

/// The file of Stable Diffusion 1.5.
constexpr std::string_view kSd15 = R"({
  "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
  "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
  "steps_offset": 1, "trained_betas": null, "clip_sample": false
})";

TEST(SchedulerConfig, ReadsTheFileOfStableDiffusion) {
  const SchedulerConfig config = ParseSchedulerConfig(kSd15).value();

  EXPECT_EQ(config.kind, SchedulerKind::kPndm);
  EXPECT_EQ(config.beta_schedule, BetaSchedule::kScaledLinear);
  EXPECT_EQ(config.beta_start, 0.00085);
  EXPECT_EQ(config.steps_offset, 1U);
  EXPECT_TRUE(config.skip_prk_steps);
  EXPECT_EQ(config.set_alpha_to_one, false);
  EXPECT_FALSE(config.timestep_spacing.has_value());
  EXPECT_TRUE(config.trained_betas.empty());
  EXPECT_TRUE(config.ignored_keys.empty());
}

TEST(SchedulerConfig, WhatTheFileLeavesOutDependsOnTheSampler) {
  const SchedulerConfig file = ParseSchedulerConfig(R"({"_class_name":"DDIMScheduler"})").value();

  const SchedulerConfig ddim = Resolve(file, SchedulerKind::kDdim);
  const SchedulerConfig euler = Resolve(file, SchedulerKind::kEuler);
  const SchedulerConfig lcm = Resolve(file, SchedulerKind::kLcm);

  EXPECT_EQ(ddim.timestep_spacing, TimestepSpacing::kLeading);
  EXPECT_EQ(euler.timestep_spacing, TimestepSpacing::kLinspace);
  EXPECT_TRUE(*ddim.clip_sample);
  EXPECT_FALSE(*lcm.clip_sample);
  EXPECT_TRUE(*ddim.set_alpha_to_one);
  EXPECT_FALSE(*Resolve(file, SchedulerKind::kPndm).set_alpha_to_one);
  EXPECT_EQ(*ddim.beta_schedule, BetaSchedule::kLinear);
  EXPECT_EQ(*lcm.beta_schedule, BetaSchedule::kScaledLinear);
}

TEST(SchedulerConfig, WhatASamplerDoesNotKnowIsSwitchedOff) {
  const SchedulerConfig file =
      ParseSchedulerConfig(
          With(
              R"("clip_sample":true,"thresholding":true,"use_karras_sigmas":true,"rescale_betas_zero_snr":true)"))
          .value();

  const SchedulerConfig euler = Resolve(file, SchedulerKind::kEuler);
  EXPECT_FALSE(*euler.clip_sample || euler.thresholding);
  EXPECT_TRUE(euler.use_karras_sigmas && euler.rescale_betas_zero_snr);
  EXPECT_FALSE(Resolve(file, SchedulerKind::kEulerAncestral).use_karras_sigmas);
  EXPECT_FALSE(Resolve(file, SchedulerKind::kPndm).rescale_betas_zero_snr);
  EXPECT_TRUE(Resolve(file, SchedulerKind::kDpmMultistep).thresholding);
}

TEST(SchedulerConfig, UnknownKeysAreNamedForTheLog) {
  const SchedulerConfig config =
      ParseSchedulerConfig(With(R"("_private":1,"solver_p":null,"beta_start":0.001,"novelty":{})")).value();

  EXPECT_THAT(config.ignored_keys, ElementsAre("novelty", "solver_p"));
}

TEST(SchedulerConfig, MinusInfinityIsTakenAsDiffusersWritesIt) {
  const auto config = ParseSchedulerConfig(
      With(R"("lambda_min_clipped": -Infinity, "x": "\"-Infinity")", "DPMSolverMultistepScheduler"));

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_FALSE(config->lambda_min_clipped.has_value());
  EXPECT_EQ(*ParseSchedulerConfig(With(R"("lambda_min_clipped":-5.1)"))->lambda_min_clipped, -5.1);
}

TEST(SchedulerConfig, ErrorsNameTheKeyAndItsValue) {
  EXPECT_EQ(Fault("{"), "INVALID_ARGUMENT scheduler_config_invalid: the file is not a JSON object");
  EXPECT_EQ(Fault("{}"),
            "INVALID_ARGUMENT scheduler_config_invalid: '_class_name' must be the name of a class");
  EXPECT_EQ(Fault(With(R"("beta_start":"low")")),
            "INVALID_ARGUMENT scheduler_config_invalid: 'beta_start' is \"low\", must be a number from 1e-12 "
            "to 0.999999");
  EXPECT_EQ(Fault(With(R"("num_train_timesteps":1)")),
            "INVALID_ARGUMENT scheduler_config_invalid: 'num_train_timesteps' is 1, must be an integer from "
            "2 to 100000");
  EXPECT_EQ(
      Fault(With(R"("steps_offset":-1)")),
      "INVALID_ARGUMENT scheduler_config_invalid: 'steps_offset' is -1, must be an integer from 0 to 100000");
  EXPECT_EQ(
      Fault(With(R"("use_karras_sigmas":"yes")")),
      "INVALID_ARGUMENT scheduler_config_invalid: 'use_karras_sigmas' is \"yes\", must be true or false");
  EXPECT_EQ(Fault(With(R"("beta_schedule":3)")),
            "INVALID_ARGUMENT scheduler_config_invalid: 'beta_schedule' is 3, must be one of linear, "
            "scaled_linear, "
            "squaredcos_cap_v2");
  EXPECT_THAT(Fault(With(R"("num_train_timesteps":3,"trained_betas":[0.1,0.2])")),
              HasSubstr("must be an array of 3 numbers"));
  EXPECT_THAT(Fault(With(R"("num_train_timesteps":3,"trained_betas":[0.1,0.2,1])")),
              HasSubstr("'trained_betas' is 1"));
  EXPECT_THAT(Fault(std::string((std::size_t{1} << 20U) + 1, ' ')), HasSubstr("the limit is 1048576"));
}

TEST(SchedulerConfig, UnknownClassesAndValuesAreNamed) {
  EXPECT_EQ(Fault(With(R"("x":1)", "HeunDiscreteScheduler")),
            "UNIMPLEMENTED scheduler_unsupported: '_class_name' is \"HeunDiscreteScheduler\"; supported are "
            "DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, "
            "DPMSolverMultistepScheduler, LCMScheduler");
  EXPECT_EQ(Fault(With(R"("beta_schedule":"sigmoid")")),
            "UNIMPLEMENTED scheduler_unsupported: EulerDiscreteScheduler: 'beta_schedule' is \"sigmoid\"; "
            "supported are "
            "linear, scaled_linear, squaredcos_cap_v2");
  EXPECT_EQ(Fault(With(R"("timestep_type":"continuous")")),
            "UNIMPLEMENTED scheduler_unsupported: EulerDiscreteScheduler: 'timestep_type' is \"continuous\"; "
            "supported "
            "is \"discrete\"");
  EXPECT_THAT(Fault(With(R"("use_beta_sigmas":true)")),
              HasSubstr("'use_beta_sigmas' is true; supported is false"));
  EXPECT_THAT(Fault(With(R"("variance_type":"learned")", "DPMSolverMultistepScheduler")),
              HasSubstr("'variance_type' is \"learned\"; supported is null"));
}

TEST(SchedulerConfig, AValueThatIsNotBuiltMattersOnlyToSamplersThatUseIt) {
  const auto config =
      ParseSchedulerConfig(With(R"("algorithm_type":"dpmsolver","variance_type":"fixed_small")"));

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_TRUE(CheckSupported(*config, SchedulerKind::kEuler).ok());
  EXPECT_EQ(CheckSupported(*config, SchedulerKind::kDpmMultistep).error().reason(), "scheduler_unsupported");
}

TEST(SchedulerConfig, NamesOfOtherSolversMeanWhatTheyMeanToDiffusers) {
  const auto config = ParseSchedulerConfig(
      With(R"("algorithm_type":"deis","solver_type":"bh2")", "DPMSolverMultistepScheduler"));

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->algorithm_type, DpmAlgorithm::kDpmSolverPlusPlus);
  EXPECT_EQ(config->solver_type, DpmSolverType::kMidpoint);
}

TEST(SchedulerClassName, IsTheInverseOfSchedulerKindOf) {
  for (const SchedulerKind kind :
       {SchedulerKind::kDdim, SchedulerKind::kPndm, SchedulerKind::kEuler, SchedulerKind::kEulerAncestral,
        SchedulerKind::kDpmMultistep, SchedulerKind::kLcm}) {
    EXPECT_EQ(SchedulerKindOf(SchedulerClassName(kind)), kind);
  }
  EXPECT_FALSE(SchedulerKindOf("euler").has_value());
}

}  // namespace
}  // namespace mezzo::generation
