#include "mezzo/models/internal/override_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "mezzo/base/fd.h"
#include "mezzo/base/strings.h"

namespace mezzo::models::internal {
namespace {

constexpr std::size_t kMaxParts = 4;
constexpr const char* kPrefix = "mezzo-load-";

Error WriteError(const std::string& what) {
  return Unavailable("override_write", what + ": " + std::strerror(errno));
}

Result<void> CheckFiles(const std::map<std::string, std::string>& files, const OverrideDir::Limits& limits) {
  if (files.size() > limits.max_files) {
    return ResourceExhausted("override_too_large", "the load brings " + std::to_string(files.size()) +
                                                       " files; the limit is " +
                                                       std::to_string(limits.max_files));
  }
  ByteCount bytes = 0;
  for (const auto& [path, content] : files) {
    const auto parts = Split(path, '/');
    if (parts.size() > kMaxParts || !std::all_of(parts.begin(), parts.end(), IsSafeName)) {
      return InvalidArgument("override_unsafe", "the override file '" + Printable(path) +
                                                    "' must be a path of at most 4 plain names");
    }
    bytes += content.size();
  }
  if (bytes > limits.max_bytes) {
    return ResourceExhausted(
        "override_too_large",
        "the load brings " + FormatBytes(bytes) + " of files; the limit is " + FormatBytes(limits.max_bytes));
  }
  return {};
}

Result<void> WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return WriteError("an override file can't be written");
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

/// Walks down from `root`, making folders, and writes the file. Nothing on the way may be a link.
Result<void> WriteFile(int root, std::string_view path, std::string_view content) {
  Fd folder(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto parts = Split(path, '/');
  for (std::size_t i = 0; folder.ok() && i + 1 < parts.size(); ++i) {
    const std::string name(parts[i]);
    if (::mkdirat(folder.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
      return WriteError("the folder '" + name + "' can't be made");
    }
    folder = Fd(::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!folder.ok()) return WriteError("the folder of '" + Printable(path) + "' can't be opened");
  const std::string name(parts.back());
  const Fd file(
      ::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.ok()) return WriteError("the file '" + Printable(path) + "' can't be made");
  return WriteAll(file.get(), content);
}

}  // namespace

Result<std::unique_ptr<OverrideDir>> OverrideDir::Create(const std::string& temp_dir,
                                                         const std::string& model,
                                                         const std::map<std::string, std::string>& files,
                                                         const Limits& limits) {
  MEZZO_TRY_VOID(CheckFiles(files, limits));
  std::string root = temp_dir + "/" + kPrefix + "XXXXXX";
  if (::mkdtemp(root.data()) == nullptr) {
    return WriteError("a folder below '" + Printable(temp_dir, 256) + "' can't be made");
  }
  Fd held(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!held.ok() || ::flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
    return WriteError("the folder for override files can't be opened");
  }
  // The constructor is private.
  std::unique_ptr<OverrideDir> dir(new OverrideDir(std::move(root), std::move(held)));
  for (const auto& [path, content] : files) {
    MEZZO_TRY_VOID(WriteFile(dir->held_.get(), model + "/" + path, content));
  }
  return dir;
}

void OverrideDir::RemoveAbandoned(const std::string& temp_dir, std::chrono::seconds min_age) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(temp_dir, error)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const Fd fd(::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct ::stat facts{};
    if (!fd.ok() || ::fstat(fd.get(), &facts) != 0 || facts.st_uid != ::geteuid()) continue;
    if (std::chrono::seconds(std::time(nullptr) - facts.st_ctime) < min_age) continue;
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    std::error_code ignored;  // The system's own cleaning of its temporary folder is the fallback.
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

OverrideDir::~OverrideDir() {
  std::error_code ignored;  // The system's own cleaning of its temporary folder is the fallback.
  std::filesystem::remove_all(root_, ignored);
}

}  // namespace mezzo::models::internal
