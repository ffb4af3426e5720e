#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace mezzo::lifecycle::testing {

/// A temporary folder for versions, removed at the end.
class VersionFiles {
 public:
  VersionFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mezzo_version_XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~VersionFiles() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  VersionFiles(const VersionFiles&) = delete;
  VersionFiles& operator=(const VersionFiles&) = delete;

  /// Writes a file with its folders; its path.
  std::string Write(std::string_view name, std::string_view content) const {
    const std::filesystem::path at = root_ / name;
    std::filesystem::create_directories(at.parent_path());
    std::ofstream file(at, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    EXPECT_TRUE(file.good());
    return at.string();
  }
  [[nodiscard]] std::string Path(std::string_view name) const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

}  // namespace mezzo::lifecycle::testing
