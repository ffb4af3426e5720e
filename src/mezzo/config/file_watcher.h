#pragma once

#include <cstdint>
#include <string>
#include <tuple>

namespace mezzo::config {

/// Notices that a file changed, by its modification time, size and inode; whoever owns it polls. Follows
/// links, so a swapped symbolic link (as Kubernetes does) is a change; so is appearing or disappearing.
///
/// Not thread-safe. Changed() does one stat() and is for a blocking thread.
class FileWatcher {
 public:
  /// Remembers the file as it is now.
  explicit FileWatcher(std::string path);

  /// True when the file differs from what the previous call (or the constructor) saw.
  bool Changed();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  /// Exists, device, inode, size, seconds, nanoseconds.
  using Stamp = std::tuple<bool, std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;
  [[nodiscard]] Stamp Look() const;

  std::string path_;
  Stamp seen_;
};

}  // namespace mezzo::config
