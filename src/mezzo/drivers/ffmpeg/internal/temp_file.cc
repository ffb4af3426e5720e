#include "mezzo/drivers/ffmpeg/internal/temp_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace mezzo::drivers::internal {

Result<TempFile> TempFile::Create(const std::string& dir, std::uint64_t max_bytes) {
  int fd = ::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    // A file system without O_TMPFILE: make a name and take it away.
    std::string path = dir + "/mezzo-video-XXXXXX";
    fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(path.c_str());
  }
  if (fd < 0) {
    return Unavailable("temp_file_failed",
                       "can't make a temporary file in '" + dir + "': " + std::strerror(errno));
  }
  return TempFile(fd, max_bytes);
}

TempFile::TempFile(TempFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), max_bytes_(other.max_bytes_), size_(other.size_) {}

TempFile::~TempFile() {
  if (fd_ >= 0) ::close(fd_);
}

int TempFile::Write(const std::uint8_t* data, std::size_t size, std::uint64_t offset) {
  if (offset > max_bytes_ || size > max_bytes_ - offset) return -EFBIG;
  for (std::size_t done = 0; done < size;) {
    const ssize_t n = ::pwrite(fd_, data + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    done += static_cast<std::size_t>(n);
  }
  size_ = std::max(size_, offset + size);
  return 0;
}

std::int64_t TempFile::Read(std::uint8_t* data, std::size_t size, std::uint64_t offset) const {
  while (true) {
    const ssize_t n = ::pread(fd_, data, size, static_cast<off_t>(offset));
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

Result<void> TempFile::CopyTo(const media::ByteSink& sink) const {
  std::vector<std::uint8_t> piece(std::size_t{256} << 10);
  for (std::uint64_t at = 0; at < size_;) {
    const std::int64_t n = Read(piece.data(), piece.size(), at);
    if (n <= 0) {
      return Internal("temp_file_failed",
                      std::string("can't read a temporary file: ") +
                          (n == 0 ? "it became shorter" : std::strerror(static_cast<int>(-n))));
    }
    MEZZO_TRY_VOID(sink({reinterpret_cast<const std::byte*>(piece.data()), static_cast<std::size_t>(n)}));
    at += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace mezzo::drivers::internal
