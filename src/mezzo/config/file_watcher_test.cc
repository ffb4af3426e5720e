#include "mezzo/config/file_watcher.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace mezzo::config {
namespace {

class FileWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("mezzo_watch_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(Path(name)) << text; }

  std::filesystem::path folder_;
};

TEST_F(FileWatcherTest, IsQuietWhileNothingChanges) {
  Write("a", "1");
  FileWatcher watcher(Path("a"));

  EXPECT_FALSE(watcher.Changed());
  EXPECT_FALSE(watcher.Changed());
}

TEST_F(FileWatcherTest, ReportsANewSizeOnce) {
  Write("a", "1");
  FileWatcher watcher(Path("a"));

  Write("a", "12");

  EXPECT_TRUE(watcher.Changed());
  EXPECT_FALSE(watcher.Changed());
}

TEST_F(FileWatcherTest, ReportsANewTimeOfTheSameSize) {
  Write("a", "1");
  FileWatcher watcher(Path("a"));

  std::filesystem::last_write_time(
      Path("a"), std::filesystem::last_write_time(Path("a")) + std::chrono::nanoseconds(1000));

  EXPECT_TRUE(watcher.Changed());
}

TEST_F(FileWatcherTest, ReportsAReplacedFileOfTheSameSizeAndTime) {
  Write("a", "1");
  Write("b", "2");
  std::filesystem::last_write_time(Path("b"), std::filesystem::last_write_time(Path("a")));
  FileWatcher watcher(Path("a"));

  std::filesystem::rename(Path("b"), Path("a"));

  EXPECT_TRUE(watcher.Changed());
}

TEST_F(FileWatcherTest, ReportsASwappedLink) {
  Write("one", "1");
  Write("two", "2");
  std::filesystem::create_symlink(Path("one"), Path("a"));
  FileWatcher watcher(Path("a"));

  std::filesystem::create_symlink(Path("two"), Path("b"));
  std::filesystem::rename(Path("b"), Path("a"));

  EXPECT_TRUE(watcher.Changed());
}

TEST_F(FileWatcherTest, ReportsAppearingAndDisappearing) {
  FileWatcher watcher(Path("a"));
  EXPECT_FALSE(watcher.Changed());

  Write("a", "1");
  EXPECT_TRUE(watcher.Changed());

  std::filesystem::remove(Path("a"));
  EXPECT_TRUE(watcher.Changed());
  EXPECT_FALSE(watcher.Changed());
}

}  // namespace
}  // namespace mezzo::config
