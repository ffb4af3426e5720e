#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace mezzo::models::testing {

/// A folder of models that lives as long as the object.
class TempRepository {
 public:
  TempRepository() {
    std::string name = (std::filesystem::temp_directory_path() / "mezzo-models-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempRepository() { std::filesystem::remove_all(path_); }
  TempRepository(const TempRepository&) = delete;
  TempRepository& operator=(const TempRepository&) = delete;

  /// Writes "m/1/model.onnx" and the folders above it.
  void Write(const std::string& file, const std::string& content = "memory=100") const {
    const std::filesystem::path at = path_ / file;
    std::filesystem::create_directories(at.parent_path());
    std::ofstream(at) << content;
  }
  void Remove(const std::string& name) const { std::filesystem::remove_all(path_ / name); }
  void Link(const std::string& target, const std::string& name) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::filesystem::create_symlink(target, path_ / name);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace mezzo::models::testing
