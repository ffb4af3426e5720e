#include "mezzo/models/content_digest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>

#include "mezzo/models/catalog.h"
#include "mezzo/models/config_json.h"
#include "mezzo/models/repository.h"

namespace mezzo::models {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
/// A file that was written this shortly before it was read may be written again without a new time.
constexpr std::int64_t kUnsettled = 2 * kNsPerSecond;

Error Unreadable(const std::string& file, const std::string& why) {
  return Unavailable("cache_digest", "the digest of '" + file + "' can't be made: " + why);
}

std::int64_t Nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * kNsPerSecond + time.tv_nsec;
}

FileState StateOf(std::string path, const struct stat& s) {
  return {.path = std::move(path),
          .device = s.st_dev,
          .inode = s.st_ino,
          .size = static_cast<ByteCount>(s.st_size),
          .modified_ns = Nanoseconds(s.st_mtim),
          .changed_ns = Nanoseconds(s.st_ctim)};
}

/// An open file, closed with the scope.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  const int fd_;
};

/// Hidden files belong to whoever writes there, compiled Python to the process that runs the model.
bool Counts(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return !name.starts_with('.') && name != "__pycache__";
}

void SortByPath(std::vector<FileState>& files) {
  std::sort(files.begin(), files.end(),
            [](const FileState& a, const FileState& b) { return a.path < b.path; });
}

Error Changed(const std::string& file) {
  return Unavailable("model_files_changed", "'" + file + "' was changed while its model was being loaded");
}

void Add(Sha256& digest, std::string_view text) {
  const std::uint64_t size = text.size();
  digest.Update(std::as_bytes(std::span(&size, 1)));
  digest.Update(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

Result<std::vector<FileState>> FilesOf(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<FileState> files;
  std::error_code failed;
  if (folder.empty() || !fs::is_directory(folder, failed)) return files;
  const fs::path root(folder);
  const auto add = [&](const fs::directory_entry& entry) -> Result<void> {
    std::error_code gone;
    if (!entry.is_regular_file(gone)) return {};
    struct stat s{};
    if (::stat(entry.path().c_str(), &s) != 0) {
      return Unreadable(entry.path().string(), std::strerror(errno));
    }
    files.push_back(StateOf(entry.path().lexically_relative(root).string(), s));
    return {};
  };
  for (fs::recursive_directory_iterator at(root, failed), end; !failed && at != end; at.increment(failed)) {
    if (Counts(at->path())) {
      MEZZO_TRY_VOID(add(*at));
    } else {
      at.disable_recursion_pending();
    }
  }
  if (failed) return Unreadable(folder, failed.message());
  // A model whose folder is its only version has a repository beside it.
  if (!ParseVersion(root.filename().string())) {
    SortByPath(files);
    return files;
  }
  for (fs::directory_iterator at(root.parent_path(), failed), end; !failed && at != end;
       at.increment(failed)) {
    if (Counts(at->path())) MEZZO_TRY_VOID(add(*at));
  }
  if (failed) return Unreadable(folder, failed.message());
  SortByPath(files);
  return files;
}

Result<Sha256Digest> ContentDigests::OfFile(const std::string& folder, const FileState& file) {
  const std::string path = folder + "/" + file.path;
  const Known known(path, file.device, file.inode, file.size, file.modified_ns, file.changed_ns);
  {
    const MutexLock lock(mu_);
    if (const auto found = known_.find(known); found != known_.end()) return found->second;
  }
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const OpenFile opened(path);
  if (opened.fd() < 0) return Unreadable(path, std::strerror(errno));
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<char> piece(kPiece);
  Sha256 digest;
  while (true) {
    const ssize_t count = ::read(opened.fd(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Unreadable(path, std::strerror(errno));
    if (count == 0) break;
    digest.Update(std::as_bytes(std::span(piece.data(), static_cast<std::size_t>(count))));
  }
  struct stat s{};
  if (::fstat(opened.fd(), &s) != 0) return Unreadable(path, std::strerror(errno));
  if (StateOf(file.path, s) != file) return Changed(path);
  const Sha256Digest made = digest.Finish();
  const MutexLock lock(mu_);
  ++files_read_;
  if (Nanoseconds(now) - std::max(file.modified_ns, file.changed_ns) > kUnsettled) {
    if (known_.size() >= options_.max_files) known_.clear();
    known_.emplace(known, made);
  }
  return made;
}

Result<Sha256Digest> ContentDigests::Of(const ModelVersion& version) {
  MEZZO_TRY(const std::vector<FileState> files, FilesOf(version.folder));
  if (files != version.files) return Changed(version.folder);
  Sha256 digest;
  for (const FileState& file : files) {
    MEZZO_TRY(const Sha256Digest content, OfFile(version.folder, file));
    Add(digest, file.path);
    Add(digest, AsText(content));
  }
  Add(digest, ConfigToJson(*version.config));
  return digest.Finish();
}

std::uint64_t ContentDigests::files_read() const {
  const MutexLock lock(mu_);
  return files_read_;
}

}  // namespace mezzo::models
