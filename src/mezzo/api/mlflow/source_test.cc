#include "mezzo/api/mlflow/source.h"

#include <gtest/gtest.h>

namespace mezzo::api::mlflow {
namespace {

using Kind = ModelSource::Kind;

ModelSource Parsed(std::string_view text) {
  const auto source = ParseSource(text);
  EXPECT_TRUE(source.ok()) << text;
  return source.ok() ? *source : ModelSource();
}

TEST(ModelSource, ReadsWhatIsHere) {
  EXPECT_EQ(Parsed("runs:/0af3/model"), (ModelSource{Kind::kRun, "0af3", "model", ""}));
  EXPECT_EQ(Parsed("runs:/0af3/a/b/"), (ModelSource{Kind::kRun, "0af3", "a/b", ""}));
  EXPECT_EQ(Parsed("runs:/0af3"), (ModelSource{Kind::kRun, "0af3", "", ""}));
  EXPECT_EQ(Parsed("models:/m-0af3"), (ModelSource{Kind::kLogged, "m-0af3", "", ""}));
  EXPECT_EQ(Parsed("models:/resnet/3"), (ModelSource{Kind::kVersion, "resnet", "", "3"}));
  EXPECT_EQ(Parsed("models:/resnet@champion"), (ModelSource{Kind::kVersion, "resnet", "", "champion"}));
  EXPECT_EQ(Parsed("models:/resnet/latest"), (ModelSource{Kind::kVersion, "resnet", "", "latest"}));
  EXPECT_EQ(Parsed(LoggedModelUri("m-1")), (ModelSource{Kind::kLogged, "m-1", "", ""}));
  EXPECT_EQ(Parsed(RunUri("9") + "/model"), (ModelSource{Kind::kRun, "9", "model", ""}));
  EXPECT_EQ(Parsed(VersionUri("resnet", 3)), (ModelSource{Kind::kVersion, "resnet", "", "3"}));
}

TEST(ModelSource, RefusesEverythingElse) {
  for (const std::string_view text : {"/etc/passwd",
                                      "etc/passwd",
                                      "../model",
                                      "./model",
                                      ".",
                                      "",
                                      "model",
                                      "C:\\model",
                                      "\\\\host\\share",
                                      "file:/etc",
                                      "file:///etc/passwd",
                                      "FILE:///etc",
                                      "http://169.254.169.254/latest",
                                      "https://x/y",
                                      "s3://bucket/key",
                                      "gs://bucket/key",
                                      "dbfs:/x",
                                      "hdfs://x/y",
                                      "ftp://x/y",
                                      "data:,x",
                                      "mlflow-artifacts://host/runs/1",
                                      "mlflow-artifacts:///runs/1",
                                      "mlflow-artifacts:/etc/passwd",
                                      "mlflow-artifacts:runs/1",
                                      "mlflow-artifacts:/runs",
                                      "mlflow-artifacts:/runs/",
                                      "mlflow-artifacts:/",
                                      "mlflow-artifacts:/runs/..",
                                      "mlflow-artifacts:/runs/1/..",
                                      "mlflow-artifacts:/runs/1/a/../b",
                                      "mlflow-artifacts:/runs/1//a",
                                      "mlflow-artifacts:/runs/1/./a",
                                      "mlflow-artifacts:/runs/1/%2e%2e",
                                      "mlflow-artifacts:/runs/1/a\\b",
                                      "mlflow-artifacts:/runs/1/a?b",
                                      "mlflow-artifacts:/runs/1/a#b",
                                      "mlflow-artifacts:/versions/resnet",
                                      "mlflow-artifacts:/versions/resnet/x",
                                      "mlflow-artifacts:/versions/resnet/3/weights",
                                      "runs:/",
                                      "runs://host/1",
                                      "runs:/../x",
                                      "runs:/1/../2",
                                      "runs:/1//x",
                                      "models:/",
                                      "models:/resnet",
                                      "models:/@",
                                      "models:/resnet@",
                                      "models:/@champion",
                                      "models:/../3",
                                      "models:/resnet/..",
                                      "models:/resnet/3/weights",
                                      "models://host/resnet/3",
                                      "runs:/a b/x",
                                      "RUNS:/1/x"}) {
    const auto source = ParseSource(text);
    ASSERT_FALSE(source.ok()) << text;
    EXPECT_EQ(source.error().code(), Code::kInvalidArgument) << text;
    EXPECT_EQ(source.error().reason(), "mlflow_source") << text;
  }
  EXPECT_FALSE(ParseSource("runs:/1/" + std::string(2000, 'a')).ok());
}

TEST(ModelSource, ReadsPathsOfArtifacts) {
  const auto file = ParseArtifactPath("models/m-1/data/model.onnx");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*file, (ModelSource{Kind::kLogged, "m-1", "data/model.onnx", ""}));
  const auto version = ParseArtifactPath("versions/resnet/3/MLmodel");
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(*version, (ModelSource{Kind::kVersion, "resnet", "MLmodel", "3"}));
  for (const std::string_view text :
       {"", "runs", "runs/..", "runs/1/../2", "etc/passwd", "/runs/1", "runs/1/.."}) {
    EXPECT_FALSE(ParseArtifactPath(text).ok()) << text;
  }
}

}  // namespace
}  // namespace mezzo::api::mlflow
