#include "mezzo/drivers/localfs/internal/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "mezzo/base/checked.h"
#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

Error DiskError(std::string_view what, std::string_view name, int code) {
  std::string message =
      std::string(what) + " '" + Printable(name, 256) + "': " + std::generic_category().message(code);
  switch (code) {
    case ENOENT:
      return NotFound("blob_missing", std::move(message));
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ResourceExhausted("blob_disk_full", std::move(message));
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
      return FailedPrecondition("blob_folder_unsafe", std::move(message));
    default:
      return Unavailable("blob_disk_error", std::move(message));
  }
}

Result<Fd> Disk::Open(int folder, const std::string& name, int flags) {
  Fd fd(::openat(folder, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return DiskError("can't open", name, errno);
  return fd;
}

Result<bool> Disk::MakeFolder(int folder, const std::string& name) {
  if (::mkdirat(folder, name.c_str(), 0700) == 0) return true;
  if (errno == EEXIST) return false;
  return DiskError("can't make the folder", name, errno);
}

Result<void> Disk::Write(int file, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return DiskError("can't write", "an object", n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::size_t> Disk::ReadAt(int file, std::span<std::byte> into, ByteCount offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t n =
        ::pread(file, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return DiskError("can't read", "an object", errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<void> Disk::Sync(int file) {
  if (::fsync(file) == 0) return {};
  return DiskError("can't sync", "an object", errno);
}

Result<void> Disk::Rename(int from_folder, const std::string& from, int to_folder, const std::string& to) {
  if (::renameat(from_folder, from.c_str(), to_folder, to.c_str()) == 0) return {};
  return DiskError("can't move to", to, errno);
}

Result<bool> Disk::Remove(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  return DiskError("can't remove", name, errno);
}

Result<bool> Disk::RemoveFolder(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0) return true;
  if (errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST) return false;
  return DiskError("can't remove the folder", name, errno);
}

Result<void> Disk::ForEachName(int folder, const std::function<bool(std::string_view)>& visit) {
  // A descriptor of its own: closedir() closes it, and its position is not shared.
  Fd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy.ok()) return DiskError("can't list", "a folder", errno);
  const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(copy.get()));
  if (dir == nullptr) return DiskError("can't list", "a folder", errno);
  (void)copy.Release();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());  // Safe: the stream is this thread's.
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (!visit(name)) return {};
  }
  if (errno != 0) return DiskError("can't list", "a folder", errno);
  return {};
}

Result<ByteCount> Disk::FreeBytes(int file) {
  struct ::statvfs facts{};
  if (::fstatvfs(file, &facts) != 0) return DiskError("can't ask for the free space of", "the store", errno);
  return CheckedMul<ByteCount>(facts.f_bavail, facts.f_frsize).value_or(UINT64_MAX);
}

}  // namespace mezzo::drivers::internal
