#include "mezzo/app/cli/generate_command.h"

#include <CLI/CLI.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mezzo::app::cli {
namespace {

TEST(GenerateBody, SaysOnlyWhatWasAskedFor) {
  GenerateOptions options;
  options.prompt = "red heart";
  options.seed = 7;
  EXPECT_EQ(nlohmann::json::parse(GenerateBody(options, "").value()),
            nlohmann::json::parse(R"({"kind": "image", "model": "emoji", "version": "", "tier": "free",
              "input": {"prompt": "red heart", "n": 1, "output_format": "png", "seed": 7}})"));
}

TEST(GenerateBody, NamesTheFilesThatWereUploaded) {
  GenerateOptions options;
  options.prompt = "a dog";
  options.strength = 0.5;

  const auto body = nlohmann::json::parse(
      GenerateBody(options, "", {.image = "shop/a/0/upload.png", .mask = "shop/b/0/upload.png"}).value());

  EXPECT_EQ(body["input"]["image"], nlohmann::json({{"artifact", "shop/a/0/upload.png"}}));
  EXPECT_EQ(body["input"]["mask"], nlohmann::json({{"artifact", "shop/b/0/upload.png"}}));
  EXPECT_EQ(body["input"]["strength"], 0.5);
}

TEST(GenerateBody, TakesAStoryboardAsItIs) {
  GenerateOptions options;
  options.storyboard = "s.json";
  const auto body = nlohmann::json::parse(GenerateBody(options, R"({"shots": []})").value());
  EXPECT_EQ(body["kind"], "storyboard");
  EXPECT_EQ(body["input"], nlohmann::json::parse(R"({"shots": []})"));
  EXPECT_EQ(GenerateBody(options, "[1]").error().reason(), "bad_storyboard");
}

/// What is wrong with a command line, or nothing.
std::string FaultOf(const std::string& line) {
  CLI::App app;
  GenerateOptions options;
  AddGenerateCommand(app, options);
  try {
    app.parse("generate " + line, false);
  } catch (const CLI::Error& error) {
    return error.what();
  }
  return "";
}

TEST(GenerateCommandLine, AStoryboardTakesNothingThatItWouldNotUse) {
  EXPECT_EQ(FaultOf("--storyboard s.json --model emoji --tier paid -o out"), "");
  EXPECT_EQ(FaultOf("'red heart' --image a.png --mask b.png --strength 0.5 --seed 1"), "");
  for (const char* option : {"'red heart'", "--image a.png", "--seed 1", "-n 2", "--format webp"}) {
    EXPECT_NE(FaultOf("--storyboard s.json " + std::string(option)).find("excludes"), std::string::npos)
        << option;
  }
  EXPECT_EQ(FaultOf("'red heart' --mask b.png"), "--mask requires --image");
}

TEST(PathOnServer, FindsArtifactsOfTheServerUnderAnyOfItsNames) {
  EXPECT_EQ(PathOnServer("http://10.0.0.1:8000/v1/artifacts/t/j/1/a.png?key=1"),
            "/v1/artifacts/t/j/1/a.png?key=1");
  EXPECT_EQ(PathOnServer("/v1/artifacts/t/j/1/a.png"), "/v1/artifacts/t/j/1/a.png");
  EXPECT_EQ(PathOnServer("https://bucket.example.com/t/j/1/a.png"), std::nullopt);
  EXPECT_EQ(PathOnServer("https://example.com"), std::nullopt);
}

}  // namespace
}  // namespace mezzo::app::cli
