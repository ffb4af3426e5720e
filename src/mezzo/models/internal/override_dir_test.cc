#include "mezzo/models/internal/override_dir.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "mezzo/models/testing/temp_repository.h"

namespace mezzo::models::internal {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(OverrideDir, RemovesOnlyWhatNobodyHolds) {
  const testing::TempRepository temp;
  const auto held = OverrideDir::Create(temp.path(), "m", {{"1/model.onnx", "x"}}, {});
  ASSERT_TRUE(held.ok()) << held.error().ToString();
  temp.Write("mezzo-load-dead01/m/1/model.onnx");
  temp.Write("mezzo-load-file");
  temp.Write("other/m/1/model.onnx");
  temp.Link("other", "mezzo-load-link");

  OverrideDir::RemoveAbandoned(temp.path(), hours(1));
  EXPECT_TRUE(std::filesystem::exists(temp.path() + "/mezzo-load-dead01")) << "too young to be sure";

  OverrideDir::RemoveAbandoned(temp.path(), seconds(0));
  EXPECT_FALSE(std::filesystem::exists(temp.path() + "/mezzo-load-dead01"));
  EXPECT_TRUE(std::filesystem::exists((*held)->root() + "/m/1/model.onnx"));
  EXPECT_TRUE(std::filesystem::exists(temp.path() + "/mezzo-load-file"));
  EXPECT_TRUE(std::filesystem::exists(temp.path() + "/other/m/1/model.onnx"));
}

TEST(OverrideDir, AFolderThatIsNotThereHasNothingAbandoned) {
  OverrideDir::RemoveAbandoned("/nonexistent/folder", seconds(0));
  EXPECT_FALSE(std::filesystem::exists("/nonexistent"));
}

}  // namespace
}  // namespace mezzo::models::internal
