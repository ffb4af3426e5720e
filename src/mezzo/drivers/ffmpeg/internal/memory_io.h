#pragma once

#include <cstddef>
#include <cstdint>

#include "mezzo/base/bytes.h"
#include "mezzo/drivers/ffmpeg/internal/av.h"

namespace mezzo::drivers::internal {

/// Read-only bytes as a file of libavformat. The bytes must outlive this, and this whatever reads from get().
class MemoryIo {
 public:
  explicit MemoryIo(BytesView bytes);
  ~MemoryIo();
  MemoryIo(const MemoryIo&) = delete;
  MemoryIo& operator=(const MemoryIo&) = delete;

  [[nodiscard]] AVIOContext* get() { return io_; }

 private:
  static int Read(void* self, std::uint8_t* data, int size);
  static std::int64_t Seek(void* self, std::int64_t offset, int whence);

  const BytesView bytes_;
  std::size_t at_ = 0;
  AVIOContext* io_ = nullptr;
};

}  // namespace mezzo::drivers::internal
