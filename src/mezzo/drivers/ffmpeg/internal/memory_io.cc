#include "mezzo/drivers/ffmpeg/internal/memory_io.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "mezzo/base/check.h"

namespace mezzo::drivers::internal {
namespace {

constexpr int kIoBuffer = 32 << 10;

}  // namespace

MemoryIo::MemoryIo(BytesView bytes) : bytes_(bytes) {
  auto* buffer = static_cast<std::uint8_t*>(av_malloc(kIoBuffer));
  MEZZO_CHECK(buffer != nullptr);
  io_ = avio_alloc_context(buffer, kIoBuffer, 0, this, &Read, nullptr, &Seek);
  MEZZO_CHECK(io_ != nullptr);
}

MemoryIo::~MemoryIo() {
  av_freep(&io_->buffer);
  avio_context_free(&io_);
}

int MemoryIo::Read(void* self, std::uint8_t* data, int size) {
  auto& io = *static_cast<MemoryIo*>(self);
  const std::size_t count = std::min(static_cast<std::size_t>(size), io.bytes_.size() - io.at_);
  if (count == 0) return AVERROR_EOF;
  std::memcpy(data, io.bytes_.data() + io.at_, count);
  io.at_ += count;
  return static_cast<int>(count);
}

std::int64_t MemoryIo::Seek(void* self, std::int64_t offset, int whence) {
  auto& io = *static_cast<MemoryIo*>(self);
  const auto size = static_cast<std::int64_t>(io.bytes_.size());
  if (whence == AVSEEK_SIZE) return size;
  if (whence == SEEK_CUR) offset += static_cast<std::int64_t>(io.at_);
  if (whence == SEEK_END) offset += size;
  if (offset < 0 || offset > size) return AVERROR(EINVAL);
  io.at_ = static_cast<std::size_t>(offset);
  return offset;
}

}  // namespace mezzo::drivers::internal
