#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "mezzo/base/result.h"
#include "mezzo/media/video_encoder.h"

namespace mezzo::drivers::internal {

/// A file without a name: its space comes back when this ends, also when the process is killed. Move-only.
class TempFile {
 public:
  /// In folder `dir`. Fails with kUnavailable "temp_file_failed". Writes beyond `max_bytes` fail with EFBIG.
  static Result<TempFile> Create(const std::string& dir, std::uint64_t max_bytes);
  TempFile(TempFile&& other) noexcept;
  TempFile& operator=(TempFile&& other) = delete;
  ~TempFile();

  /// All of `size` bytes at `offset`; 0, or a negative errno.
  int Write(const std::uint8_t* data, std::size_t size, std::uint64_t offset);
  /// The number of bytes read, 0 at the end; or a negative errno.
  [[nodiscard]] std::int64_t Read(std::uint8_t* data, std::size_t size, std::uint64_t offset) const;
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Everything, front to back, in pieces of at most 256 KiB.
  [[nodiscard]] Result<void> CopyTo(const media::ByteSink& sink) const;

 private:
  TempFile(int fd, std::uint64_t max_bytes) : fd_(fd), max_bytes_(max_bytes) {}

  int fd_;
  std::uint64_t max_bytes_;
  std::uint64_t size_ = 0;
};

}  // namespace mezzo::drivers::internal
