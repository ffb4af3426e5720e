#include "mezzo/drivers/s3/internal/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

Error SpoolError(std::string_view what, int code) {
  std::string message = std::string(what) + " the spool file: " + std::generic_category().message(code);
  if (code == ENOSPC || code == EDQUOT || code == EFBIG)
    return ResourceExhausted("blob_disk_full", std::move(message));
  return Unavailable("blob_disk_error", std::move(message));
}

Result<void> WriteAll(int fd, BytesView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return SpoolError("can't write", n < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Result<void> Spool::MoveToFile() {
  // Not O_TMPFILE, which overlay file systems of older kernels lack.
  std::string path = folder_ + "/mezzo-spool-XXXXXX";
  Fd file(::mkostemp(path.data(), O_CLOEXEC));
  if (!file.ok()) return SpoolError("can't make", errno);
  if (::unlink(path.c_str()) != 0) return SpoolError("can't unlink", errno);
  MEZZO_TRY_VOID(WriteAll(file.get(), AsBytes(memory_)));
  file_ = std::move(file);
  memory_ = {};
  return {};
}

Result<void> Spool::Append(BytesView bytes) {
  if (in_memory() && bytes.size() > memory_bytes_ - memory_.size()) MEZZO_TRY_VOID(MoveToFile());
  if (in_memory()) {
    memory_.append(AsText(bytes));
  } else {
    MEZZO_TRY_VOID(WriteAll(file_.get(), bytes));
  }
  size_ += bytes.size();
  return {};
}

Result<std::size_t> Spool::Read(ByteCount offset, std::span<std::byte> into) const {
  const auto wanted =
      static_cast<std::size_t>(std::min<ByteCount>(into.size(), size_ - std::min(size_, offset)));
  if (in_memory()) {
    const BytesView from = AsBytes(memory_).subspan(std::min<ByteCount>(offset, memory_.size()), wanted);
    std::copy(from.begin(), from.end(), into.begin());
    return wanted;
  }
  std::size_t done = 0;
  while (done < wanted) {
    const ssize_t n =
        ::pread(file_.get(), into.data() + done, wanted - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return SpoolError("can't read", n < 0 ? errno : EIO);
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::size_t> SpoolPart::Read(ByteCount offset, std::span<std::byte> into) {
  const ByteCount rest = size_ - std::min(size_, offset);
  return spool_.Read(offset_ + offset,
                     into.first(static_cast<std::size_t>(std::min<ByteCount>(into.size(), rest))));
}

Result<std::string> SpoolPart::Sha256Digits() {
  Sha256 sha;
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<ByteCount>(kBufferBytes, size_)));
  for (ByteCount at = 0; at < size_;) {
    MEZZO_TRY(const std::size_t got, Read(at, buffer));
    sha.Update(std::span(buffer).first(got));
    at += got;
  }
  return HexEncode(sha.Finish());
}

}  // namespace mezzo::drivers::internal
