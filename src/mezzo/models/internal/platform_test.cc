#include "mezzo/models/internal/platform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/models/internal/source.h"
#include "mezzo/models/testing/temp_repository.h"

namespace mezzo::models::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PlatformTest : public ::testing::Test {
 protected:
  std::shared_ptr<Source> Read(const std::string& name) {
    auto folder = Repository({files_.path()}).Look(name);
    EXPECT_TRUE(folder.ok()) << name;
    return ReadSource(std::move(folder).value());
  }

  testing::TempRepository files_;
};

TEST_F(PlatformTest, AModelsFilesTellWhatRunsIt) {
  files_.Write("onnx/1/model.onnx");
  files_.Write("python/1/model.py");
  files_.Write("pipeline/1/model_index.json");
  files_.Write("both/1/model.onnx");
  files_.Write("both/1/model.py");

  EXPECT_EQ(Read("onnx")->config->platform, kOnnxPlatform);
  EXPECT_EQ(Read("onnx")->config->file, "model.onnx");
  EXPECT_EQ(Read("python")->config->platform, kPythonPlatform);
  EXPECT_EQ(Read("python")->config->file, "model.py");
  EXPECT_EQ(Read("pipeline")->config->platform, kPythonPlatform);
  EXPECT_EQ(Read("pipeline")->config->file, "model_index.json");
  EXPECT_EQ(Read("both")->config->platform, kOnnxPlatform);
}

TEST_F(PlatformTest, TheConfigurationDecidesWhereItSpeaks) {
  files_.Write("both/1/model.onnx");
  files_.Write("both/1/model.py");
  files_.Write("both/model.yaml", "platform: python");
  files_.Write("named/1/model.py");
  files_.Write("named/model.yaml", "file: other.onnx");
  files_.Write("far/model.yaml", "upstream: {url: 'http://host', model: m}");

  EXPECT_EQ(Read("both")->config->platform, kPythonPlatform);
  EXPECT_EQ(Read("named")->config->platform, kOnnxPlatform);
  EXPECT_EQ(Read("far")->config->platform, kRemotePlatform);
}

TEST_F(PlatformTest, PythonAndRemoteModelsNeedNoVersionFolder) {
  files_.Write("python/model.py");
  files_.Write("far/model.yaml", "upstream: {url: 'http://host', model: m}");
  files_.Write("onnx/model.onnx");

  for (const char* name : {"python", "far"}) {
    const auto source = Read(name);
    EXPECT_FALSE(source->problem.has_value()) << name;
    EXPECT_THAT(source->wanted, ElementsAre(1)) << name;
    ASSERT_EQ(source->folder.versions.size(), 1U) << name;
    EXPECT_EQ(source->folder.versions[0].path, files_.path() + "/" + name);
  }
  EXPECT_TRUE(Read("onnx")->problem.has_value());
}

TEST_F(PlatformTest, ModelsThatMayCostAnythingAreNotWarmedUpUnasked) {
  files_.Write("python/model.py");
  files_.Write("onnx/1/model.onnx");

  EXPECT_FALSE(Read("python")->config->automatic_warmup);
  EXPECT_TRUE(Read("onnx")->config->automatic_warmup);
}

TEST_F(PlatformTest, FilesThatCameWithARequestAreNeverRunAsCode) {
  files_.Write("m/1/model.py");
  auto folder = Repository({files_.path()}).Look("m");
  ASSERT_TRUE(folder.ok());
  ModelConfig config;
  config.platform = kPythonPlatform;

  CompletePlatform(config, *folder, /*foreign=*/true);

  EXPECT_EQ(config.platform, kOnnxPlatform);
  EXPECT_EQ(config.file, "model.onnx");
}

}  // namespace
}  // namespace mezzo::models::internal
