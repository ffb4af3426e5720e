#include "mezzo/lifecycle/datasets.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FolderDatasetsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(Root() + "/2026/11");
    Write("2026/a.csv", "1");
    Write("2026/11/b.csv", "22");
    fs::create_directories(folder_.path() + "/secret");
    std::ofstream(folder_.path() + "/secret/key") << "s";
  }
  [[nodiscard]] std::string Root() const { return folder_.path() + "/data"; }
  void Write(const std::string& path, const std::string& text) const {
    std::ofstream(Root() + "/" + path) << text;
  }
  Result<DataSight> Look(const std::string& prefix, const std::string& dataset = "d",
                         std::size_t max_files = 10) {
    FolderDatasets datasets({{"d", {.folder = Root(), .max_files = max_files}}}, clock_);
    return datasets.Look(dataset, prefix, clock_.Now() + std::chrono::seconds(60));
  }
  std::string Reason(const std::string& prefix, const std::string& dataset = "d") {
    const auto sight = Look(prefix, dataset);
    return sight.ok() ? "ok" : std::string(sight.error().reason());
  }
  const RealClock clock_;
  const storage::testing::TempDir folder_;
};

TEST_F(FolderDatasetsTest, FilesBelowThePrefixAreSeen) {
  const auto all = Look("");
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  EXPECT_EQ(all->files, 2U);
  EXPECT_EQ(all->bytes, 3U);
  EXPECT_EQ(*Look(""), *all);
  EXPECT_EQ(Look("2026/11")->files, 1U);
  EXPECT_EQ(Look("2026/11/")->digest, Look("2026/11")->digest);
  EXPECT_EQ(Look("2027")->files, 0U) << "nothing is there yet";
}

TEST_F(FolderDatasetsTest, EveryChangeShows) {
  const auto before = *Look("");
  Write("2026/c.csv", "");
  const auto added = *Look("");
  EXPECT_NE(added.digest, before.digest);
  EXPECT_GE(added.newest, before.newest);
  Write("2026/c.csv", "x");
  const auto grown = *Look("");
  EXPECT_NE(grown.digest, added.digest);
  fs::rename(Root() + "/2026/c.csv", Root() + "/2026/d.csv");
  EXPECT_NE(Look("")->digest, grown.digest);
  fs::remove(Root() + "/2026/d.csv");
  EXPECT_EQ(Look("")->digest, before.digest) << "as it was";
}

TEST_F(FolderDatasetsTest, LinksAndHiddenFilesAreNotFollowedNorSeen) {
  const auto before = *Look("");
  fs::create_symlink(folder_.path() + "/secret/key", Root() + "/2026/link.csv");
  fs::create_directory_symlink(folder_.path() + "/secret", Root() + "/2026/out");
  Write("2026/.half", "x");
  fs::create_directories(Root() + "/.tmp/x");
  ::mkfifo((Root() + "/2026/pipe").c_str(), 0600);
  EXPECT_EQ(*Look(""), before);
  fs::create_directory_symlink(folder_.path() + "/secret", Root() + "/away");
  const auto through = Look("away");
  ASSERT_FALSE(through.ok());
  EXPECT_EQ(through.error().reason(), "pipeline_dataset_unreadable");
  EXPECT_THAT(through.error().message(), HasSubstr("'away', which must be a folder and no link"));
  EXPECT_EQ(Reason("2026/out"), "pipeline_dataset_unreadable");
  EXPECT_EQ(Reason("2026/a.csv"), "pipeline_dataset_unreadable") << "a file";
}

TEST_F(FolderDatasetsTest, NothingOutsideIsLookedAt) {
  for (const char* prefix : {"..", "../secret", "2026/../../secret", "/etc", ".", "a//b", ".hidden", "a/./b",
                             "a b", "a\\b", "1/2/3/4/5/6/7/8/9", "/"}) {
    EXPECT_FALSE(IsDatasetPrefix(prefix)) << prefix;
    EXPECT_EQ(Reason(prefix), "pipeline_dataset") << prefix;
  }
  EXPECT_FALSE(IsDatasetPrefix(std::string(201, 'a')));
  EXPECT_FALSE(IsDatasetPrefix(std::string("a\0b", 3)));
  for (const char* prefix : {"", "a", "a/", "date=2026-11-23/x_y+z.v1"}) EXPECT_TRUE(IsDatasetPrefix(prefix));
  EXPECT_EQ(Reason("", "other"), "pipeline_dataset");
  fs::remove_all(Root());
  EXPECT_EQ(Reason(""), "pipeline_dataset_unreadable") << "a disk that is not mounted has not lost its data";
}

TEST_F(FolderDatasetsTest, ItIsBounded) {
  EXPECT_TRUE(Look("", "d", 4).ok());  // Two folders, two files.
  const auto full = Look("", "d", 3);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().reason(), "pipeline_dataset_limit");
  EXPECT_EQ(full.error().message(), "dataset 'd' has more than 3 files and folders (max_files)");
  std::string deep = Root();
  for (std::size_t i = 0; i <= FolderDatasets::kMaxDepth; ++i) deep += "/x";
  fs::create_directories(deep);
  const auto too_deep = Look("", "d", 1000);
  ASSERT_FALSE(too_deep.ok());
  EXPECT_EQ(too_deep.error().reason(), "pipeline_dataset_limit");
  fs::remove_all(Root() + "/x");
  for (int i = 0; i < 300; ++i) Write("f" + std::to_string(i), "");
  FolderDatasets datasets({{"d", {.folder = Root()}}}, clock_);
  const auto slow = datasets.Look("d", "", clock_.Now());
  ASSERT_FALSE(slow.ok());
  EXPECT_EQ(slow.error().reason(), "pipeline_dataset_slow");
}

}  // namespace
}  // namespace mezzo::lifecycle
