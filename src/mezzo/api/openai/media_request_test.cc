// What requests for pictures and videos become. Their handlers are tested over a queue in tests/openai.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/openai/image_request.h"
#include "mezzo/api/openai/media_members.h"
#include "mezzo/api/openai/video_request.h"

namespace mezzo::api::openai {
namespace {

using nlohmann::json;

TEST(MediaMembers, NullAndEmptyTextsAreLeftOut) {
  auto members = *MediaMembers::FromJson(R"({"a": null, "b": "", "c": "x", "unheard_of": [1]})");
  EXPECT_FALSE(members.Has("a"));
  EXPECT_FALSE(members.Has("b"));
  EXPECT_TRUE(members.Has("c"));
  EXPECT_EQ(*members.Text("a", 10), "");
  EXPECT_EQ(*members.Integer("b", 1, 2), std::nullopt);
}

TEST(MediaMembers, OfAFormNumbersAreTexts) {
  const std::vector<net::FormPart> parts = {{.name = "n", .content = "3"},
                                            {.name = "n", .content = "4"},
                                            {.name = "g", .content = "1.5"},
                                            {.name = "s", .content = "true"},
                                            {.name = "f", .file_name = "a.png", .content = "x"},
                                            {.name = "webhook[url]", .content = "ftp://example.org"}};
  auto members = *MediaMembers::FromForm(parts);
  EXPECT_EQ(*members.Integer("n", 1, 10), 3U) << "the first counts";
  EXPECT_EQ(*members.Number("g", 0, 2), 1.5);
  EXPECT_EQ(*members.Flag("s"), true);
  EXPECT_FALSE(members.Has("f"));
  EXPECT_FALSE(members.Webhook().ok());
  EXPECT_EQ(members.param(), "webhook");
  const std::vector<net::FormPart> bytes = {{.name = "prompt", .content = "\xff"}};
  EXPECT_EQ(MediaMembers::FromForm(bytes).error().reason(), "media_request");
}

TEST(MediaMembers, OfJsonTextsAreNoNumbersUnlessSaid) {
  auto members = *MediaMembers::FromJson(R"({"n": "3"})");
  EXPECT_FALSE(members.Integer("n", 1, 10).ok());
  EXPECT_EQ(members.param(), "n");
  EXPECT_EQ(*members.IntegerOrText("n", 1, 10), 3U);
}

TEST(ImageJobRequest, NamesOnlyWhatWasAskedFor) {
  auto members = *MediaMembers::FromJson(R"({"prompt": "a \"cat\"", "size": "auto"})");
  const auto request = ReadImageRequest(members, "emoji");
  ASSERT_TRUE(request.ok()) << request.error().ToString();
  EXPECT_EQ(json::parse(ImageJobRequest(*request, "", "")),
            json({{"model", "emoji"},
                  {"version", ""},
                  {"input", {{"prompt", "a \"cat\""}, {"n", 1}, {"output_format", "png"}}}}));
  const json edit = json::parse(ImageJobRequest(*request, "t/j/0/image", "t/j/0/mask"));
  EXPECT_EQ(edit["input"]["image"]["artifact"], "t/j/0/image");
  EXPECT_EQ(edit["input"]["mask"]["artifact"], "t/j/0/mask");
}

TEST(StoryboardJobRequest, FillsItsSecondsWithShots) {
  VideoRequest video{.model = "m", .prompt = "p", .seconds = 0, .size = "1080x1920"};
  for (const auto& [seconds, shots] : {std::pair(1U, 1U), {7U, 1U}, {8U, 2U}, {15U, 3U}, {60U, 12U}}) {
    video.seconds = seconds;
    const json input = json::parse(StoryboardJobRequest(video))["input"];
    EXPECT_EQ(input["shots"].size(), shots);
    double sum = 0;
    for (const auto& shot : input["shots"]) sum += shot["duration"].get<double>();
    EXPECT_NEAR(sum, seconds, 1e-9);
    EXPECT_EQ(input["resolution"], "1080p");
    EXPECT_EQ(input["aspect"], "portrait");
  }
}

TEST(StoryboardJobRequest, IsReadBackAsItWas) {
  VideoRequest video{.model = "m",
                     .prompt = "p",
                     .seconds = 20,
                     .size = "720x720",
                     .style = "warm",
                     .reference = "t/j/0/reference",
                     .seed = 3,
                     .steps = 4,
                     .guidance = 1.5,
                     .remixed_from = "video_x"};
  const auto read = VideoRequestOf(StoryboardJobRequest(video));
  ASSERT_TRUE(read);
  EXPECT_EQ(StoryboardJobRequest(*read), StoryboardJobRequest(video));
  for (const char* other : {"", "{}", R"({"video": 1})", R"({"video": {"size": "1x1", "seconds": 5}})",
                            R"({"video": {"size": "720x720"}})"}) {
    EXPECT_FALSE(VideoRequestOf(other)) << other;
  }
}

}  // namespace
}  // namespace mezzo::api::openai
