#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"

namespace mezzo::models {

struct ModelVersion;

/// A regular file of a version and what says that it is still the same.
struct FileState {
  std::string path;  ///< From the version's folder.
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  ByteCount size = 0;
  std::int64_t modified_ns = 0;  ///< Unix time, as `changed_ns`.
  std::int64_t changed_ns = 0;   ///< Of the inode: no program can set it back.

  friend bool operator==(const FileState&, const FileState&) = default;
};

/// All files below a version's folder, and, when it is named by a number, those right beside it, which all
/// versions share (the declared configuration), by path; none when there is no folder. Without hidden ones
/// and `__pycache__`. Fails with kUnavailable "cache_digest". Blocks.
Result<std::vector<FileState>> FilesOf(const std::string& folder);

/// SHA-256 of what decides a version's answers: its files, and its configuration as the load made it. Files
/// that were read before and are the same by their state are not read again, unless they were written within
/// two seconds of being read (a later write within the clock's step would not show). Thread-safe; blocks.
class ContentDigests {
 public:
  struct Options {
    std::size_t max_files = 65'536;  ///< Remembered; beyond it all are forgotten.
  };
  explicit ContentDigests(Options options) : options_(options) {}
  ContentDigests() : ContentDigests(Options()) {}

  /// Fails with kUnavailable "cache_digest" when a file can't be read, and kUnavailable "model_files_changed"
  /// when the files are not those that the version's load began with: nobody knows which it has read.
  Result<Sha256Digest> Of(const ModelVersion& version) EXCLUDES(mu_);
  /// Files whose content was read, as opposed to remembered.
  [[nodiscard]] std::uint64_t files_read() const EXCLUDES(mu_);

 private:
  using Known = std::tuple<std::string, std::uint64_t, std::uint64_t, ByteCount, std::int64_t, std::int64_t>;
  Result<Sha256Digest> OfFile(const std::string& folder, const FileState& file) EXCLUDES(mu_);

  const Options options_;
  mutable Mutex mu_;
  std::map<Known, Sha256Digest> known_ GUARDED_BY(mu_);
  std::uint64_t files_read_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::models
