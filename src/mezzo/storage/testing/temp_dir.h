#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "mezzo/base/check.h"

namespace mezzo::storage::testing {

/// A new folder that goes with its object.
class TempDir {
 public:
  TempDir() : path_((std::filesystem::temp_directory_path() / "mezzo-XXXXXX").string()) {
    MEZZO_CHECK(::mkdtemp(path_.data()) != nullptr);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace mezzo::storage::testing
