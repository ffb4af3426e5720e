#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"

namespace mezzo::models::internal {

/// A private folder (mode 0700) with the files that a load request brought; removed with the object, which
/// the sessions loaded from it keep alive. Creating and destroying it block on the disk.
class OverrideDir {
 public:
  struct Limits {
    std::size_t max_files = 64;
    ByteCount max_bytes = ByteCount{2} << 30;
  };

  /// Writes `files` ("1/model.onnx" → content) into `<temp_dir>/mezzo-load-XXXXXX/<model>/`. Fails with
  /// kInvalidArgument "override_unsafe" for names that are not plain paths, kResourceExhausted
  /// "override_too_large", kUnavailable "override_write".
  static Result<std::unique_ptr<OverrideDir>> Create(const std::string& temp_dir, const std::string& model,
                                                     const std::map<std::string, std::string>& files,
                                                     const Limits& limits);
  ~OverrideDir();
  /// Removes what killed processes have left in `temp_dir`: folders of this kind and user that nobody holds.
  /// One younger than `min_age` may be between its making and its locking, and stays.
  static void RemoveAbandoned(const std::string& temp_dir,
                              std::chrono::seconds min_age = std::chrono::minutes(1));
  OverrideDir(const OverrideDir&) = delete;
  OverrideDir& operator=(const OverrideDir&) = delete;

  /// The folder that holds the model's folder.
  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  OverrideDir(std::string root, Fd held) : root_(std::move(root)), held_(std::move(held)) {}
  const std::string root_;
  const Fd held_;  // Locked as long as the folder is in use.
};

}  // namespace mezzo::models::internal
