#include "mezzo/drivers/onnxruntime/internal/model_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "mezzo/drivers/onnxruntime/testing/model_folder.h"
#include "mezzo/drivers/onnxruntime/testing/onnx_writer.h"

namespace mezzo::drivers {
namespace {

using testing::ExternalModel;
using ::testing::HasSubstr;
using testing::ModelFolder;
using ::testing::Not;

std::string External(const std::string& location, const std::string& length = "16") {
  return ExternalModel({{"location", location}, {"offset", "0"}, {"length", length}}, 4);
}

Error FaultOf(const std::string& path) {
  const auto files = ModelFiles::Open(path);
  if (files.ok()) return {Code::kUnknown, "none", "none"};
  return files.error();
}

TEST(ModelFiles, AcceptsAModelWithExternalDataInItsFolderAndBelow) {
  const ModelFolder folder;
  folder.Write("weights/w.bin", std::string(16, 'w'));
  const std::string path = folder.Write("model.onnx", External("weights/w.bin"));

  const auto files = ModelFiles::Open(path);

  ASSERT_TRUE(files.ok()) << files.error().ToString();
  EXPECT_EQ(files->scan().external.size(), 1U);
  EXPECT_TRUE(files->Unchanged().ok());
}

TEST(ModelFiles, MissingFilesAreNamed) {
  const ModelFolder folder;
  const std::string path = folder.Write("model.onnx", External("gone.bin"));

  EXPECT_EQ(
      FaultOf(folder.Path("none.onnx")).ToString(),
      "NOT_FOUND model_file_missing: the model file 'none.onnx' can't be opened: No such file or directory");
  EXPECT_THAT(FaultOf(path).ToString(),
              HasSubstr("NOT_FOUND model_file_missing: the external data file 'gone.bin' of "
                        "tensor 'w' can't be opened"));
  EXPECT_EQ(FaultOf(folder.Path("no/folder/model.onnx")).reason(), "model_file_missing");
  EXPECT_EQ(FaultOf("").reason(), "model_invalid");
}

TEST(ModelFiles, MessagesDoNotTellWhereTheRepositoryIs) {
  const ModelFolder folder;

  EXPECT_THAT(FaultOf(folder.Path("none.onnx")).message(), Not(HasSubstr(folder.Path(""))));
}

TEST(ModelFiles, RefusesSymbolicLinksAnywhereBelowTheFolder) {
  const ModelFolder folder;
  const ModelFolder outside;
  const std::string secret = outside.Write("secret.bin", std::string(64, 's'));
  ASSERT_EQ(::symlink(secret.c_str(), folder.Path("file_link.bin").c_str()), 0);
  ASSERT_EQ(::symlink(outside.Path("").c_str(), folder.Path("folder_link").c_str()), 0);
  const std::string real = folder.Write("real.onnx", External("file_link.bin"));
  ASSERT_EQ(::symlink(real.c_str(), folder.Path("linked.onnx").c_str()), 0);

  EXPECT_THAT(FaultOf(real).message(),
              HasSubstr("'file_link.bin' of tensor 'w' is reached through a symbolic link"));
  EXPECT_THAT(FaultOf(folder.Write("b.onnx", External("folder_link/secret.bin"))).message(),
              HasSubstr("is reached through a symbolic link"));
  EXPECT_THAT(FaultOf(folder.Path("linked.onnx")).message(),
              HasSubstr("the model file 'linked.onnx' is reached through a symbolic link"));
}

TEST(ModelFiles, RefusesExternalDataWithASecondName) {
  const ModelFolder folder;
  const std::string secret = folder.Write("elsewhere/secret.bin", std::string(64, 's'));
  ASSERT_EQ(::link(secret.c_str(), folder.Path("w.bin").c_str()), 0);

  EXPECT_THAT(FaultOf(folder.Write("model.onnx", External("w.bin"))).message(), HasSubstr("a hard link"));
}

TEST(ModelFiles, TakesSecondNamesWhereTheServerMadeThem) {
  const ModelFolder folder;
  const std::string other = folder.Write("elsewhere/w.bin", std::string(64, 's'));
  ASSERT_EQ(::link(other.c_str(), folder.Path("w.bin").c_str()), 0);
  const std::string model = folder.Write("model.onnx", External("w.bin"));

  const auto files = ModelFiles::Open(model, SecondNames::kAllowed);
  ASSERT_TRUE(files.ok()) << files.error().message();
  EXPECT_TRUE(files->Unchanged().ok());
  // What stands in for the file is found as always.
  ASSERT_EQ(::unlink(folder.Path("w.bin").c_str()), 0);
  folder.Write("w.bin", std::string(64, 't'));
  EXPECT_FALSE(files->Unchanged().ok());
}

TEST(ModelFiles, RefusesWhatIsNoRegularFileWithoutWaitingForIt) {
  const ModelFolder folder;
  ASSERT_EQ(::mkfifo(folder.Path("pipe").c_str(), 0600), 0);
  folder.Write("sub/x", "");

  EXPECT_THAT(FaultOf(folder.Path("pipe")).message(), HasSubstr("is not a regular file"));
  EXPECT_THAT(FaultOf(folder.Write("a.onnx", External("pipe"))).message(),
              HasSubstr("is not a regular file"));
  EXPECT_THAT(FaultOf(folder.Write("b.onnx", External("sub"))).message(), HasSubstr("is not a regular file"));
}

TEST(ModelFiles, RefusesRangesBeyondTheFile) {
  const ModelFolder folder;
  folder.Write("w.bin", std::string(15, 'w'));

  EXPECT_THAT(FaultOf(folder.Write("model.onnx", External("w.bin"))).message(),
              HasSubstr("has 15 bytes, but the model's tensors reach to 16"));
}

TEST(ModelFiles, NoticesThatAFileChangedSince) {
  const ModelFolder folder;
  folder.Write("w.bin", std::string(16, 'w'));
  const std::string path = folder.Write("model.onnx", External("w.bin"));

  const auto replaced = ModelFiles::Open(path);
  ASSERT_TRUE(replaced.ok());
  std::filesystem::rename(folder.Write("new.bin", std::string(16, 'n')), folder.Path("w.bin"));
  EXPECT_EQ(replaced->Unchanged().error().ToString(),
            "UNAVAILABLE model_changed: the file 'w.bin' changed while the model was loaded; load it again");

  const auto removed = ModelFiles::Open(path);
  ASSERT_TRUE(removed.ok());
  std::filesystem::remove(path);
  EXPECT_THAT(removed->Unchanged().error().message(), HasSubstr("the file 'model.onnx' changed"));
}

TEST(ModelFiles, NoticesAFolderThatWasExchanged) {
  const ModelFolder folder;
  folder.Write("1/w.bin", std::string(16, 'w'));
  const std::string path = folder.Write("1/model.onnx", External("w.bin"));
  const auto files = ModelFiles::Open(path);
  ASSERT_TRUE(files.ok());

  std::filesystem::rename(folder.Path("1"), folder.Path("old"));
  folder.Write("1/w.bin", std::string(16, 'w'));
  folder.Write("1/model.onnx", External("w.bin"));

  EXPECT_EQ(files->Unchanged().error().reason(), "model_changed");
}

}  // namespace
}  // namespace mezzo::drivers
