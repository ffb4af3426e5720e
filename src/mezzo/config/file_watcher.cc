#include "mezzo/config/file_watcher.h"

#include <sys/stat.h>

#include <utility>

namespace mezzo::config {

FileWatcher::FileWatcher(std::string path) : path_(std::move(path)), seen_(Look()) {}

bool FileWatcher::Changed() {
  Stamp now = Look();
  if (now == seen_) return false;
  seen_ = std::move(now);
  return true;
}

FileWatcher::Stamp FileWatcher::Look() const {
  struct stat status = {};
  if (stat(path_.c_str(), &status) != 0) return {};
  return {true,
          static_cast<std::uint64_t>(status.st_dev),
          static_cast<std::uint64_t>(status.st_ino),
          static_cast<std::int64_t>(status.st_size),
          static_cast<std::int64_t>(status.st_mtim.tv_sec),
          static_cast<std::int64_t>(status.st_mtim.tv_nsec)};
}

}  // namespace mezzo::config
