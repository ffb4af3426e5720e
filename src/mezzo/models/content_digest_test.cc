#include "mezzo/models/content_digest.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "mezzo/models/catalog.h"

namespace mezzo::models {
namespace {

class ContentDigestsTest : public ::testing::Test {
 protected:
  ContentDigestsTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mezzo-digest-XXXXXX").string();
    folder_ = std::string(::mkdtemp(pattern.data())) + "/1";
    std::filesystem::create_directory(folder_);
    version_.folder = folder_;
    version_.config = std::make_shared<const ModelConfig>();
  }
  ~ContentDigestsTest() override {
    std::filesystem::remove_all(std::filesystem::path(folder_).parent_path());
  }

  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name) << text;
  }
  /// As a load of what is there now.
  Sha256Digest Load() {
    version_.files = FilesOf(folder_).value();
    return digests_.Of(version_).value();
  }

  std::string folder_;
  ModelVersion version_;
  ContentDigests digests_;
};

TEST_F(ContentDigestsTest, NamesContentsAndConfigurationCount) {
  Write("model.onnx", "one");
  const auto first = Load();
  EXPECT_EQ(Load(), first);
  Write("model.onnx", "two");
  const auto second = Load();
  EXPECT_NE(second, first);
  Write("data/weights", "");
  const auto third = Load();
  EXPECT_NE(third, second);
  std::filesystem::rename(folder_ + "/data/weights", folder_ + "/data/weight");
  EXPECT_NE(Load(), third);
  std::filesystem::remove_all(folder_ + "/data");
  Write("model.onnx", "one");
  EXPECT_EQ(Load(), first) << "the same content under another time is the same";
  Write("../model.yaml", "cache: {mode: exact, ttl: 1s}");
  EXPECT_NE(Load(), first) << "not all of the declared configuration shows in the model's";
  std::filesystem::remove(folder_ + "/../model.yaml");
  Write("../.model.yaml.swp", "");
  Write(".git/config", "");
  Write("__pycache__/model.cpython-311.pyc", "made by the process that runs it");
  EXPECT_EQ(Load(), first);
  auto config = *version_.config;
  config.max_batch_size = 7;
  version_.config = std::make_shared<const ModelConfig>(config);
  EXPECT_NE(Load(), first);
}

TEST_F(ContentDigestsTest, AChangeSinceTheLoadBeganIsRefused) {
  Write("model.onnx", "one");
  (void)Load();
  Write("model.onnx", "longer");
  EXPECT_EQ(digests_.Of(version_).error().reason(), "model_files_changed");
  (void)Load();
  Write("more", "");
  EXPECT_EQ(digests_.Of(version_).error().reason(), "model_files_changed");
  (void)Load();
  std::filesystem::remove(folder_ + "/more");
  EXPECT_EQ(digests_.Of(version_).error().reason(), "model_files_changed");
}

TEST_F(ContentDigestsTest, WhatWasJustWrittenIsReadAgain) {
  Write("model.onnx", "one");
  const auto first = Load();
  EXPECT_EQ(Load(), first);
  EXPECT_EQ(digests_.files_read(), 2U) << "another write within the clock's step would not show";
}

TEST_F(ContentDigestsTest, AnOldFileIsReadOnce) {
  // Nobody can set a file's change time back, so a file of the system has to do.
  version_.folder = "/usr/share/zoneinfo/Arctic";
  if (!std::filesystem::is_directory(version_.folder)) GTEST_SKIP() << "no package tzdata";
  version_.files = FilesOf(version_.folder).value();
  ASSERT_FALSE(version_.files.empty());
  const auto first = digests_.Of(version_).value();
  const auto read = digests_.files_read();
  EXPECT_EQ(digests_.Of(version_).value(), first);
  EXPECT_EQ(digests_.files_read(), read);
}

}  // namespace
}  // namespace mezzo::models
