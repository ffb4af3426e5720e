#include "mezzo/app/cli/model_command.h"

#include <filesystem>
#include <fstream>

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::app::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ModelFolderTest : public ::testing::Test {
 protected:
  void Write(const std::string& file, const std::string& content) {
    const fs::path at = fs::path(folder_.path()) / file;
    fs::create_directories(at.parent_path());
    std::ofstream(at) << content;
  }
  storage::testing::TempDir folder_;
  std::size_t left_out_ = 0;
};

TEST_F(ModelFolderTest, AFoldersFilesAreItsManifest) {
  Write("model.onnx", "weights");
  Write("data/part.bin", "d");
  Write(".git/config", "no");
  Write("__pycache__/x.pyc", "no");
  const auto manifest = ManifestOfFolder(folder_.path(), left_out_);
  ASSERT_TRUE(manifest.ok()) << manifest.error().ToString();
  ASSERT_EQ(manifest->files().size(), 2U);
  EXPECT_EQ(manifest->files()[0].path, "data/part.bin");
  EXPECT_EQ(manifest->files()[1].sha256, Sha256Hex("weights"));
  EXPECT_EQ(manifest->files()[1].bytes, 7U);
  EXPECT_EQ(left_out_, 2U);
}

TEST_F(ModelFolderTest, LinksAndFoldersThatAreNoneAreRefused) {
  EXPECT_EQ(ManifestOfFolder(folder_.path() + "/none", left_out_).error().reason(), "model_folder");
  EXPECT_EQ(ManifestOfFolder(folder_.path(), left_out_).error().reason(), "manifest_empty");
  fs::create_symlink("/etc/passwd", folder_.path() + "/link");
  EXPECT_EQ(ManifestOfFolder(folder_.path(), left_out_).error().reason(), "model_folder");
  fs::remove(folder_.path() + "/link");
  fs::create_directory_symlink("/etc", folder_.path() + "/etc");
  EXPECT_EQ(ManifestOfFolder(folder_.path(), left_out_).error().reason(), "model_folder");
}

TEST(ModelCommand, ReadsItsLine) {
  CLI::App app;
  ModelOptions options;
  AddModelCommand(app, options);
  app.parse("model push folder --name m --alias prod --tag a=1 --tag b=2 --parent 3 --wait --wait-limit 10s");
  EXPECT_EQ(options.action, ModelOptions::Action::kPush);
  EXPECT_EQ(options.folder, "folder");
  EXPECT_EQ(options.tags.size(), 2U);
  EXPECT_EQ(options.parent, 3);
  EXPECT_TRUE(options.wait);
  EXPECT_EQ(options.wait_limit, std::chrono::seconds(10));
  EXPECT_THROW(app.parse("model push folder"), CLI::ParseError) << "without --name";
  EXPECT_THROW(app.parse("model load m"), CLI::ParseError) << "without a version";
}

TEST(ModelTables, ShowWhatTheServerSays) {
  const auto models = RegisteredTable(
      R"({"data":[{"name":"m","latest":3,"aliases":{"prod":2},"tags":{"t":"x"},"updated_at":"2026-01-01"}]})");
  ASSERT_TRUE(models.ok());
  EXPECT_THAT(*models, HasSubstr("prod=2"));
  EXPECT_THAT(*models, HasSubstr("t=x"));
  const auto versions = VersionsTable(
      R"({"data":[{"version":3,"state":"rejected","aliases":[],"bytes":2048,"tags":{},"reason":"slow","created_at":"t","created_by":"ann"}]})");
  ASSERT_TRUE(versions.ok());
  EXPECT_THAT(*versions, HasSubstr("2 KiB"));
  EXPECT_THAT(*versions, HasSubstr("slow"));
  const auto history = HistoryTable(
      R"({"data":[{"at":"t","kind":"alias_set","version":2,"field":"prod","before":"1","after":"2","by":"ann"}]})");
  ASSERT_TRUE(history.ok());
  EXPECT_THAT(*history, HasSubstr("alias_set"));
  EXPECT_EQ(*RegisteredTable(R"({"data":[]})"), "no models are registered\n");
  for (const auto& bad : {RegisteredTable("x"), VersionsTable(R"({"data":[1]})"), HistoryTable("[]")}) {
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.error().reason(), "bad_answer");
  }
}

}  // namespace
}  // namespace mezzo::app::cli
