#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/drivers/onnxruntime/model_scan.h"

namespace mezzo::drivers {

/// An open file descriptor. Movable.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool ok() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// The files that one model consists of, proven to be what they seem: the model file is a regular file and no
/// symbolic link; every external file is a regular file below the model's own folder, reached through no
/// symbolic link, with no second name (hard link) unless those are allowed, and long enough for the ranges
/// that the model names.
///
/// The engine opens the files again by path. Unchanged() tells afterwards whether they are still the same
/// files with the same content: a swap in between is found before the session is used.
class ModelFiles {
 public:
  /// Errors: kNotFound "model_file_missing", kInvalidArgument "model_invalid".
  static Result<ModelFiles> Open(const std::string& model_path,
                                 SecondNames second_names = SecondNames::kRefused);

  [[nodiscard]] const ModelScan& scan() const { return scan_; }
  [[nodiscard]] ByteCount model_size() const { return model_size_; }
  /// Fails with kUnavailable "model_changed", naming the file.
  [[nodiscard]] Result<void> Unchanged() const;

 private:
  struct Stamp {
    std::string location;
    struct ::stat stat{};
  };

  Result<void> AddExternal(const FileDescriptor& folder, const ExternalFile& file, SecondNames second_names);

  std::string folder_path_;
  ModelScan scan_;
  ByteCount model_size_ = 0;
  std::vector<Stamp> stamps_;
};

}  // namespace mezzo::drivers
