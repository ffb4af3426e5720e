#include <algorithm>
#include <cmath>
#include <string>

#include "golden_cases.h"
#include "pipeline_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation {
namespace {

/// The golden folder that the parameter names.
class PipelinesTest : public PipelineFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  PipelinesTest() : PipelineFixture({GetParam()}) {}

  Answer Send(const ImageRequest& request) { return PipelineFixture::Send(GetParam(), request); }
};

float LargestOf(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

/// The largest difference beyond what Optimum's own tests allow: |a - b| <= 1e-4 + 1e-2 |b|. In FP16 two per
/// cent of the largest value.
void ExpectClose(std::span<const float> actual, std::span<const float> expected, bool half,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  const float allowed_half = 0.02F * LargestOf(expected);
  float worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const float allowed = half ? allowed_half : 1e-4F + 1e-2F * std::fabs(expected[i]);
    worst = std::max(worst, std::fabs(actual[i] - expected[i]) / allowed);
  }
  EXPECT_LE(worst, 1) << what;
}

void ExpectGolden(const Result<ImageResult>& result, const GoldenCase& golden, bool half) {
  ASSERT_TRUE(result.ok()) << golden.name << ": " << result.error().ToString();
  std::vector<float> latents;
  std::vector<float> pixels;
  for (const GeneratedImage& image : result->images) {
    latents.insert(latents.end(), image.latents.begin(), image.latents.end());
    const auto sample = internal::ReadNumbers(image.sample);
    ASSERT_TRUE(sample.ok());
    pixels.insert(pixels.end(), sample->begin(), sample->end());
  }
  ExpectClose(latents, golden.latents, half, golden.name + " latents");
  if (!golden.pixels.empty()) ExpectClose(pixels, golden.pixels, half, golden.name + " picture");
}

TEST_P(PipelinesTest, DrawsWhatDiffusersDraws) {
  const bool half = std::string(GetParam()).ends_with("fp16");
  for (const GoldenCase& golden : ReadGoldenCases(GetParam()))
    ExpectGolden(Send(golden.request).get(), golden, half);
}

TEST_P(PipelinesTest, DrawsTheSameInSharedBatches) {
  const std::vector<GoldenCase> cases = ReadGoldenCases(GetParam());
  std::vector<ImageResult> alone;
  for (const GoldenCase& golden : cases) {
    auto result = Send(golden.request).get();
    ASSERT_TRUE(result.ok()) << result.error().ToString();
    alone.push_back(std::move(*result));
  }

  std::vector<Answer> together;
  for (const GoldenCase& golden : cases) together.push_back(Send(golden.request));

  std::size_t values = 0;
  std::size_t different = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto result = together[i].get();
    ASSERT_TRUE(result.ok()) << result.error().ToString();
    for (std::size_t k = 0; k < result->images.size(); ++k) {
      const auto shared = ToUnitRange(result->images[k].sample);
      const auto single = ToUnitRange(alone[i].images[k].sample);
      ASSERT_TRUE(shared.ok() && single.ok());
      for (std::size_t at = 0; at < shared->size(); ++at)
        different += std::fabs((*shared)[at] - (*single)[at]) > 1.0F / 255 ? 1 : 0;
      values += shared->size();
    }
  }
  EXPECT_LE(static_cast<double>(different), 0.001 * static_cast<double>(values));
}

INSTANTIATE_TEST_SUITE_P(Folders, PipelinesTest,
                         ::testing::Values("sd1", "sd1_old", "sd1_fp16", "sd2", "turbo", "sdxl", "lcm",
                                           "inpaint"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace mezzo::generation
