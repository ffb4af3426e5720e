#include "mezzo/generation/internal/storyboard_request.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/generation/internal/storyboard_manifest.h"

namespace mezzo::generation::internal {
namespace {

std::string ErrorOf(const std::string& input) {
  const auto parsed = ParseStoryboardRequest(R"({"model": "m", "input": )" + input + "}");
  return parsed.ok() ? "it was taken" : parsed.error().reason() + ": " + parsed.error().message();
}

TEST(StoryboardRequest, TakesPaintingOutOfTheStoryboard) {
  const auto parsed = ParseStoryboardRequest(
      R"({"model": "m", "version": "2", "input": {"shots": [], "painting": {"seed": 5}}})");

  ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
  EXPECT_EQ(parsed->model, "m");
  EXPECT_EQ(parsed->version, "2");
  EXPECT_EQ(parsed->storyboard, R"({"shots":[]})");
  EXPECT_EQ(parsed->painting.seed, 5U);
  EXPECT_FALSE(parsed->painting.steps.has_value());
}

TEST(StoryboardRequest, ErrorsNameTheMember) {
  const std::string bad = "storyboard_request: ";
  EXPECT_EQ(ErrorOf("[]"), bad + "'input' is not an object: a storyboard, or what is to be made again");
  EXPECT_EQ(ErrorOf(R"({"painting": 5})"), bad + "'painting' is not an object");
  EXPECT_EQ(ErrorOf(R"({"painting": {"seed": 9007199254740992}})"),
            bad + "'painting.seed' is not a whole number from 0 to 9007199254740991");
  EXPECT_EQ(ErrorOf(R"({"painting": {"seed": 9007199254740991}})"), "it was taken");
  EXPECT_EQ(ErrorOf(R"({"painting": {"steps": -1}})"),
            bad + "'painting.steps' is not a whole number from 0 to 9007199254740991");
  EXPECT_EQ(ErrorOf(R"({"painting": {"guidance": "high"}})"), bad + "'painting.guidance' is not a number");
  EXPECT_EQ(ErrorOf(R"({"redo": {"job": "../x", "shots": [{"shot": 0}]}})"),
            bad + "'redo.job' is not the id of a job");
  EXPECT_EQ(ErrorOf(R"({"redo": {"job": "x", "shots": []}})"),
            bad + "'redo.shots' is not a list of 1 to 60 shots");
  EXPECT_EQ(ErrorOf(R"({"redo": {"job": "x", "shots": [{}]}})"),
            bad + "'redo.shots[0].shot' is missing: the number of a shot, from 0");
  EXPECT_EQ(ErrorOf(R"({"redo": {"job": "x", "shots": [{"shot": 1}, {"shot": 1}]}})"),
            bad + "'redo.shots[1].shot' is 1 again");
  EXPECT_EQ(ErrorOf(R"({"redo": {"job": "x", "shots": [{"shot": 1}]}, "fps": 30})"),
            bad + "'input.fps' is not a known member");
}

TEST(StoryboardRequest, ChangesReplaceAndTakeAwayMembersOfTheirShotOnly) {
  const auto changed =
      ApplyChanges(R"({"fps":30,"shots":[{"prompt":"a"},{"prompt":"b","text":"t","picture":"p"}]})",
                   {{1, R"({"prompt":"c","picture":null})"}});

  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(*changed, R"({"fps":30,"shots":[{"prompt":"a"},{"prompt":"c","text":"t"}]})");
}

TEST(StoryboardManifest, ComesBackAsItWas) {
  const StoryboardManifest manifest{.version = 3,
                                    .model = "m",
                                    .model_version = "2",
                                    .storyboard = R"({"shots":[1]})",
                                    .painting = {.seed = 9, .steps = 4, .guidance = 1.5},
                                    .shots = {{"a/b/1/c", true, 77}, {"a/b/1/d", false, 0}}};

  const auto back = StoryboardManifest::Parse(manifest.ToJson());

  ASSERT_TRUE(back.ok()) << back.error().ToString();
  EXPECT_EQ(back->ToJson(), manifest.ToJson());
}

TEST(StoryboardManifest, DamageIsDataLoss) {
  for (const char* damaged : {"", "{}", R"({"version": "1"})", "[1]"}) {
    const auto parsed = StoryboardManifest::Parse(damaged);
    ASSERT_FALSE(parsed.ok()) << damaged;
    EXPECT_EQ(parsed.error().code(), Code::kDataLoss);
  }
}

}  // namespace
}  // namespace mezzo::generation::internal
