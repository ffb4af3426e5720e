#include "mezzo/lifecycle/version_folder.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/testing/version_files.h"

namespace mezzo::lifecycle {
namespace {

using ::testing::HasSubstr;

std::string FaultOf(const std::string& folder) {
  const auto content = ReadVersionFolder(folder);
  return content.ok() ? "" : content.error().reason() + ": " + content.error().message();
}

TEST(VersionFolder, AModelAndItsConfigurationInIt) {
  const testing::VersionFiles files;
  files.Write("v/model.onnx", "12345");
  files.Write("v/model.yaml", "batching: {max_batch_size: 4}\n");

  const auto content = ReadVersionFolder(files.Path("v/"));

  ASSERT_TRUE(content.ok()) << content.error().ToString();
  ASSERT_EQ(content->parts.size(), 1U);
  EXPECT_EQ(content->parts[0].name, "");
  EXPECT_EQ(content->parts[0].model_path, files.Path("v/model.onnx"));
  EXPECT_EQ(content->parts[0].declared.config.max_batch_size, 4);
  EXPECT_EQ(content->files, 2U);
  EXPECT_EQ(content->bytes, 5U + 30U);
}

TEST(VersionFolder, TheConfigurationBesideIsThatOfARepositoryOnly) {
  const testing::VersionFiles files;
  files.Write("m/model.yaml", "batching: {max_batch_size: 4}\n");
  files.Write("m/2/model.onnx", "");
  files.Write("m/draft/model.onnx", "");

  EXPECT_EQ(ReadVersionFolder(files.Path("m/2"))->parts[0].declared.config.max_batch_size, 4);
  EXPECT_EQ(ReadVersionFolder(files.Path("m/draft"))->parts[0].declared.config.max_batch_size, 0);
}

TEST(VersionFolder, APipelineHasParts) {
  const testing::VersionFiles files;
  files.Write("v/model_index.json", "{}");
  files.Write("v/vae/model.onnx", "");
  files.Write("v/unet/model.onnx", "");
  files.Write("v/tokenizer/vocab.json", "{}");

  const auto content = ReadVersionFolder(files.Path("v"));

  ASSERT_TRUE(content.ok()) << content.error().ToString();
  ASSERT_EQ(content->parts.size(), 2U);
  EXPECT_EQ(content->parts[0].name, "unet");
  EXPECT_TRUE(content->parts[0].declared.pipeline_part);
  EXPECT_EQ(content->parts[1].model_path, files.Path("v/vae/model.onnx"));
}

TEST(VersionFolder, SaysWhatCannotBeTested) {
  const testing::VersionFiles files;
  files.Write("python/model.py", "");
  files.Write("remote/model.yaml", "upstream:\n  url: http://127.0.0.1:1\n  model: m\n");
  files.Write("parts/model_index.json", "{}");
  files.Write("empty/notes.txt", "");

  EXPECT_THAT(FaultOf(files.Path("python")), HasSubstr("version_platform: only ONNX models"));
  EXPECT_THAT(FaultOf(files.Path("remote")), HasSubstr("version_platform: only ONNX models"));
  EXPECT_THAT(FaultOf(files.Path("parts")), HasSubstr("version_platform: the pipeline has no part"));
  EXPECT_THAT(FaultOf(files.Path("empty")), HasSubstr("model_file_missing"));
  EXPECT_THAT(FaultOf(files.Path("nowhere")), HasSubstr("model_file_missing"));
}

TEST(VersionFolder, NoLinksNoSpecialFilesNoDepth) {
  const testing::VersionFiles files;
  files.Write("link/model.onnx", "");
  std::filesystem::create_symlink("/etc/passwd", files.Path("link/labels.txt"));
  files.Write("pipe/model.onnx", "");
  ASSERT_EQ(::mkfifo(files.Path("pipe/fifo").c_str(), 0600), 0);
  files.Write("deep/model.onnx", "");
  files.Write("deep/1/2/3/4/5/6/7/8/9/file", "");

  EXPECT_EQ(FaultOf(files.Path("link")), "version_files: 'labels.txt' is a symbolic link");
  EXPECT_EQ(FaultOf(files.Path("pipe")), "version_files: 'fifo' is neither a file nor a folder");
  EXPECT_THAT(FaultOf(files.Path("deep")), HasSubstr("more than 8 folders deep"));
}

}  // namespace
}  // namespace mezzo::lifecycle
