#include "mezzo/generation/pipeline_config.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::generation {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

/// A folder in memory; Stable Diffusion 1.x as Optimum exports it.
class PipelineConfigTest : public ::testing::Test {
 protected:
  PipelineConfigTest() {
    files_["model_index.json"] = R"({"_class_name": "StableDiffusionPipeline",
      "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
      "unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [null, null]})";
    files_["unet/config.json"] = R"({"in_channels": 4, "sample_size": 64, "time_cond_proj_dim": null})";
    files_["vae_decoder/config.json"] =
        R"({"latent_channels": 4, "block_out_channels": [1, 2, 3, 4], "scaling_factor": 0.18215})";
    files_["scheduler/scheduler_config.json"] = R"({"_class_name": "DDIMScheduler"})";
  }
  [[nodiscard]] Result<PipelineConfig> Read() const {
    return ReadPipelineConfig([this](std::string_view path) -> Result<std::string> {
      const auto it = files_.find(path);
      if (it == files_.end()) return NotFound("file_missing", "gone");
      return it->second;
    });
  }
  [[nodiscard]] std::string ErrorOf() const {
    const auto read = Read();
    return read.ok() ? std::string("no error") : read.error().ToString();
  }

  std::map<std::string, std::string, std::less<>> files_;
};

TEST_F(PipelineConfigTest, ReadsWhatStableDiffusionSays) {
  const auto config = Read();

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->family, PipelineFamily::kStableDiffusion);
  EXPECT_EQ(config->vae_factor, 8u);
  EXPECT_EQ(config->default_side, 512u);
  EXPECT_EQ(config->guidance_embedding, 0u);
  ASSERT_THAT(config->text_encoders, SizeIs(1));
  EXPECT_EQ(config->text_encoders[0].tokenizer, "tokenizer");
  EXPECT_EQ(config->text_encoders[0].rules, ClipTokenizer::Rules::kBasic);
}

TEST_F(PipelineConfigTest, AServedModelCanBeTheTextEncoder) {
  files_["model_index.json"] =
      R"({"_class_name": "StableDiffusionPipeline", "text_encoder": ["mezzo", "MiniLM"]})";
  files_["text_encoder/config.json"] =
      R"({"model": "minilm", "output": "last_hidden_state", "max_tokens": 16, "zero_padding": true})";

  const auto config = Read();

  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->text_encoders[0].served_model, "minilm");
  EXPECT_EQ(config->text_encoders[0].max_tokens, 16u);
  EXPECT_TRUE(config->text_encoders[0].zero_padding);
}

TEST_F(PipelineConfigTest, PartsWithoutConfigurationAreAllowedInOldExportsOnly) {
  files_.erase("unet/config.json");
  files_.erase("vae_decoder/config.json");

  EXPECT_THAT(ErrorOf(), HasSubstr("'vae_decoder/config.json' is missing"));

  files_["model_index.json"] = R"({"_class_name": "OnnxStableDiffusionPipeline",
    "text_encoder": ["diffusers", "OnnxRuntimeModel"], "tokenizer": ["transformers", "CLIPTokenizerFast"]})";
  const auto config = Read();
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->vae_factor, 8u);
  EXPECT_FLOAT_EQ(config->scaling_factor, 0.18215F);
  EXPECT_EQ(config->text_encoders[0].rules, ClipTokenizer::Rules::kFast);
}

TEST_F(PipelineConfigTest, WhatIsNotBuiltIsNamed) {
  files_["model_index.json"] = R"({"_class_name": "FluxPipeline"})";
  EXPECT_THAT(ErrorOf(), HasSubstr("pipeline_unsupported: 'model_index.json': the class 'FluxPipeline'"));

  files_["model_index.json"] =
      R"({"_class_name": "StableDiffusionXLPipeline", "text_encoder": [null, null]})";
  EXPECT_THAT(ErrorOf(), HasSubstr("a refiner"));
}

TEST_F(PipelineConfigTest, WrongValuesAreNamedWithFileAndKey) {
  files_["unet/config.json"] = R"({"in_channels": 7})";
  EXPECT_THAT(ErrorOf(),
              HasSubstr("'unet/config.json': 'in_channels' is 7; it has to be 4, as many as latents"));

  files_["vae_decoder/config.json"] = R"({"block_out_channels": "many"})";
  EXPECT_THAT(ErrorOf(), HasSubstr("'vae_decoder/config.json': 'block_out_channels' is \"many\""));

  files_["vae_decoder/config.json"] = R"({"block_out_channels": [1], "scaling_factor": 0})";
  EXPECT_THAT(ErrorOf(), HasSubstr("'scaling_factor' is 0; it has to be a number above 0"));

  files_["model_index.json"] = "[]";
  EXPECT_THAT(ErrorOf(), HasSubstr("'model_index.json' is no JSON object"));
}

}  // namespace
}  // namespace mezzo::generation
