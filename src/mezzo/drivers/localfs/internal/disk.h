#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// The system calls of LocalBlobStore that can fail, relative to open folders and never through a symbolic
/// link. Virtual so that tests can fail any of them.
///
/// Errors: kNotFound "blob_missing" (ENOENT), kResourceExhausted "blob_disk_full" (ENOSPC, EDQUOT, EFBIG),
/// kFailedPrecondition "blob_folder_unsafe" (a link, or a file where a folder belongs), kUnavailable
/// "blob_disk_error" (everything else). Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;

  /// `flags` of open(2); O_NOFOLLOW and O_CLOEXEC are added. New files get mode 0600.
  virtual Result<Fd> Open(int folder, const std::string& name, int flags);
  /// Mode 0700. False when it is there already.
  virtual Result<bool> MakeFolder(int folder, const std::string& name);
  /// All of it, at the file's position.
  virtual Result<void> Write(int file, BytesView bytes);
  /// At most `into.size()` bytes; fewer at the end of the file.
  virtual Result<std::size_t> ReadAt(int file, std::span<std::byte> into, ByteCount offset);
  /// fsync(2) of a file or a folder.
  virtual Result<void> Sync(int file);
  virtual Result<void> Rename(int from_folder, const std::string& from, int to_folder, const std::string& to);
  /// A file. False when it was not there.
  virtual Result<bool> Remove(int folder, const std::string& name);
  /// False when it was not there or is not empty.
  virtual Result<bool> RemoveFolder(int folder, const std::string& name);
  /// Names in a folder, unsorted, without "." and "..", until `visit` returns false.
  virtual Result<void> ForEachName(int folder, const std::function<bool(std::string_view)>& visit);
  /// What an unprivileged process may still write to the file system.
  virtual Result<ByteCount> FreeBytes(int file);
};

/// The error of `code` (an errno) as Disk gives it.
Error DiskError(std::string_view what, std::string_view name, int code);

}  // namespace mezzo::drivers::internal
