#include "mezzo/engine/platform_engine.h"

#include <gtest/gtest.h>

namespace mezzo::engine {
namespace {

/// Refuses every load with its own name.
class NamedEngine final : public Engine {
 public:
  explicit NamedEngine(std::string name) : name_(std::move(name)) {}
  Result<std::unique_ptr<Session>> Load(const LoadRequest&) override {
    return NotFound("model_file_missing", name_);
  }
  [[nodiscard]] std::string platform() const override { return name_; }
  [[nodiscard]] std::vector<std::string> providers() const override { return {name_ + "_provider"}; }

 private:
  const std::string name_;
};

class PlatformEngineTest : public ::testing::Test {
 protected:
  std::string LoadsAs(const std::string& platform) {
    LoadRequest request;
    request.platform = platform;
    return engine_.Load(request).error().message();
  }

  NamedEngine onnx_{"onnx"};
  NamedEngine python_{"python"};
  PlatformEngine engine_{{onnx_, python_}};
};

TEST_F(PlatformEngineTest, GivesALoadToTheEngineOfItsPlatform) {
  EXPECT_EQ(LoadsAs("python"), "python");
  EXPECT_EQ(LoadsAs("onnx"), "onnx");
}

TEST_F(PlatformEngineTest, GivesALoadWithoutAPlatformToTheFirstEngine) { EXPECT_EQ(LoadsAs(""), "onnx"); }

TEST_F(PlatformEngineTest, NamesThePlatformsThereAreWhenItLacksOne) {
  LoadRequest request;
  request.platform = "tensorrt";

  const auto session = engine_.Load(request);

  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().reason(), "platform_missing");
  EXPECT_EQ(session.error().message(),
            "this server has no engine for the platform 'tensorrt'; it has 'onnx', 'python'");
}

TEST_F(PlatformEngineTest, ShowsTheFirstEnginesPlatformAndProviders) {
  EXPECT_EQ(engine_.platform(), "onnx");
  EXPECT_EQ(engine_.providers(), std::vector<std::string>{"onnx_provider"});
}

}  // namespace
}  // namespace mezzo::engine
