#include "mezzo/generation/image_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/generation/image_job_request.h"
#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const ImageRequest& request) {
  const auto checked = CheckRequest(request, ImageLimits{});
  return checked.ok() ? std::string("accepted") : checked.error().message();
}

TEST(ImageRequest, AtALimitIsTakenAndBeyondRefusedByName) {
  ImageRequest request;
  request.images = 10;
  request.steps = 150;
  request.guidance = 50;
  request.size = {.width = 4096, .height = 1024};
  EXPECT_EQ(ErrorOf(request), "accepted");

  request.images = 11;
  EXPECT_EQ(ErrorOf(request), "'n' is 11; it has to be 1 to 10");
  request.images = 1;
  request.steps = 151;
  EXPECT_EQ(ErrorOf(request), "'steps' is 151; it has to be 1 to 150");
  request.steps = 1;
  request.guidance = 50.5;
  EXPECT_EQ(ErrorOf(request), "'guidance' is 50.5; it has to be 0 to 50");
  request.guidance = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(ErrorOf(request), HasSubstr("'guidance' is nan"));
  request.guidance.reset();
  request.size = {.width = 4097, .height = 8};
  EXPECT_EQ(ErrorOf(request), "'size' is 4097x8; sides have to be 1 to 4096");
  request.size = {.width = 4096, .height = 1032};
  EXPECT_THAT(ErrorOf(request), HasSubstr("which is 4227072 pixels; the limit is 4194304"));
  request.size.reset();
  request.sampler = "fast";
  EXPECT_THAT(ErrorOf(request), HasSubstr("'sampler' is 'fast'; there are ddim"));
}

TEST(ImageRequest, PicturesAndMasksHaveToFit) {
  ImageRequest request;
  request.mask.emplace(media::FrameSize{.width = 8, .height = 8});
  EXPECT_THAT(ErrorOf(request), HasSubstr("without a picture"));
  request.picture.emplace(media::FrameSize{.width = 16, .height = 8});
  EXPECT_EQ(ErrorOf(request), "'mask' is 8x8, but the image is 16x8");
  request.mask.reset();
  request.strength = 0;
  EXPECT_THAT(ErrorOf(request), HasSubstr("'strength' is 0; it has to be above 0"));
}

TEST(ImagePlan, SidesHaveToBeMultiplesOfTheLatents) {
  ImageRequest request;
  request.size = {.width = 100, .height = 64};

  const auto plan = internal::MakePlan(request, PipelineConfig(), ImageLimits{});

  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().message(), "'size' is 100x64; this pipeline's sides have to be multiples of 8");
}

TEST(ImagePlan, TakesTwoRowsOnlyWhereGuidanceNeedsThem) {
  ImageRequest request;
  PipelineConfig config;
  EXPECT_TRUE(internal::MakePlan(request, config, {})->two_rows);
  config.guidance_embedding = 256;
  EXPECT_FALSE(internal::MakePlan(request, config, {})->two_rows);
  config.guidance_embedding = 0;
  request.guidance = 1;
  EXPECT_FALSE(internal::MakePlan(request, config, {})->two_rows);
}

TEST(ImagePlan, AnInpaintingNetworkNeedsAMask) {
  PipelineConfig config;
  config.unet_channels = 9;

  const auto plan = internal::MakePlan(ImageRequest(), config, {});

  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().message(), HasSubstr("'image' and 'mask' are needed"));
}

TEST(NumberTensor, HalvesKeepTheirValuesBothWays) {
  const std::vector<float> values = {0, -0.0F, 1, -2.5F, 65504, 1e9F, 0x1p-24F, 0x1p-14F, 3 * 0x1p-24F, 0.1F};

  const auto tensor = internal::MakeNumbers(tensor::DType::kFp16, {10}, std::span<const float>(values));

  EXPECT_THAT(*internal::ReadNumbers(tensor),
              ElementsAre(0, -0.0F, 1, -2.5F, 65504, std::numeric_limits<float>::infinity(), 0x1p-24F,
                          0x1p-14F, 3 * 0x1p-24F, 0.0999755859375F));
}

TEST(ToPicture, RoundsAsNumpyAndClips) {
  const std::vector<float> values = {-2, 1.0F / 255 - 1, 3.0F / 255 - 1, 2, 0, 1};
  const auto sample =
      internal::MakeNumbers(tensor::DType::kFp32, {1, 3, 1, 2}, std::span<const float>(values));

  const auto picture = ToPicture(sample);

  ASSERT_TRUE(picture.ok());
  // Planes are red, green, blue; 0.5 rounds to 0 and 127.5 to 128.
  const std::uint8_t* row = picture->row(0);
  EXPECT_EQ(row[0], 0);
  EXPECT_EQ(row[4], 0);
  EXPECT_EQ(row[5], 255);
  EXPECT_EQ(row[2], 128);
  EXPECT_EQ(row[6], 255);
  EXPECT_EQ(row[3], 255);
}

std::string JobError(const std::string& input) {
  const auto job = ParseImageJob(TenantId("t"), R"({"model": "m", "input": )" + input + "}");
  return job.ok() ? std::string("accepted") : job.error().message();
}

TEST(ImageJobRequest, ReadsEveryMember) {
  const auto job = ParseImageJob(TenantId("t"), R"({"model": "sd", "version": "2", "input": {"prompt": "a",
    "negative_prompt": "b", "n": 2, "size": "640x480", "steps": 7, "guidance": 3.5, "seed": 18446744073709551615,
    "sampler": "euler", "eta": 0.5, "strength": 0.25, "output_format": "jpeg", "quality": 55,
    "image": {"base64": "YWJj"}, "mask": {"artifact": "t/j/1/mask.png"}}})");

  ASSERT_TRUE(job.ok()) << job.error().ToString();
  EXPECT_EQ(job->model.str(), "sd");
  EXPECT_EQ(job->version, "2");
  EXPECT_EQ(job->request.negative_prompt, "b");
  EXPECT_EQ(job->request.images, 2u);
  EXPECT_EQ(job->request.size->width, 640);
  EXPECT_EQ(job->request.steps, 7u);
  EXPECT_EQ(job->request.guidance, 3.5);
  EXPECT_EQ(job->request.seed, UINT64_MAX);
  EXPECT_EQ(job->request.strength, 0.25);
  EXPECT_EQ(job->format, media::PictureFormat::kJpeg);
  EXPECT_EQ(job->quality, 55);
  EXPECT_EQ(job->picture->bytes, "abc");
  EXPECT_EQ(job->mask->blob->name(), "mask.png");
}

TEST(ImageJobRequest, WhatIsWrongIsNamed) {
  EXPECT_EQ(JobError("{}"), "'prompt' is missing, or no string");
  EXPECT_EQ(JobError(R"({"prompt": "a", "n": -1})"), "'input.n' is -1; it has to be a whole number from 0");
  EXPECT_EQ(JobError(R"({"prompt": "a", "size": "12"})"),
            "'size' is '12'; it has to be WIDTHxHEIGHT, as 512x512");
  EXPECT_EQ(JobError(R"({"prompt": "a", "output_format": "gif"})"),
            "'output_format' is 'gif'; there are png, jpeg and webp");
  EXPECT_EQ(JobError(R"({"prompt": "a", "quality": 0})"), "'quality' is 0; it has to be 1 to 100");
  EXPECT_EQ(JobError(R"({"prompt": "a", "model": "other"})"), "'model' is 'm', but 'input.model' is 'other'");
  EXPECT_EQ(JobError(R"({"prompt": "a", "image": {"artifact": "u/j/1/x.png"}})"),
            "'image.artifact' is not an artifact of this tenant");
  EXPECT_EQ(JobError(R"({"prompt": "a", "mask": {"base64": "YWJj"}})"),
            "'input.mask' is given without an 'input.image' to paint in");
}

}  // namespace
}  // namespace mezzo::generation
