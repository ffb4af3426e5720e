#include "mezzo/api/grpc/internal/inflate.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/io/gzip_stream.h>

namespace mezzo::api::rpc {
namespace {

constexpr ByteCount kMostRatio = 200;
constexpr ByteCount kRatioFreeBytes = ByteCount{1} << 20;

/// The pieces of a message as protobuf reads its input.
class SegmentStream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit SegmentStream(std::span<const BytesView> segments) : segments_(segments) {}

  bool Next(const void** data, int* size) override {
    while (next_ < segments_.size() && segments_[next_].empty()) ++next_;
    if (next_ == segments_.size()) return false;
    const BytesView segment = segments_[next_++].subspan(std::exchange(backed_up_, 0));
    *data = segment.data();
    *size = static_cast<int>(segment.size());
    read_ += *size;
    return true;
  }
  void BackUp(int count) override {
    if (count == 0) return;
    --next_;
    backed_up_ = segments_[next_].size() - static_cast<std::size_t>(count);
    read_ -= count;
  }
  bool Skip(int) override { return false; }
  [[nodiscard]] std::int64_t ByteCount() const override { return read_; }

 private:
  const std::span<const BytesView> segments_;
  std::size_t next_ = 0;
  std::size_t backed_up_ = 0;  // Bytes of the next segment that were used already.
  std::int64_t read_ = 0;
};

}  // namespace

bool IsCompressed(std::span<const BytesView> message) {
  unsigned head[2] = {0, 0};
  std::size_t count = 0;
  for (const BytesView segment : message) {
    for (std::size_t i = 0; i < segment.size() && count < 2; ++i)
      head[count++] = static_cast<unsigned>(segment[i]);
  }
  if (count < 2) return false;
  const bool gzip = head[0] == 0x1f && head[1] == 0x8b;
  const bool zlib = head[0] == 0x78 && (head[0] * 256 + head[1]) % 31 == 0;
  return gzip || zlib;
}

Result<std::string> Inflate(std::span<const BytesView> message, ByteCount limit) {
  ByteCount compressed = 0;
  for (const BytesView segment : message) compressed += segment.size();
  const ByteCount by_ratio = std::max(kRatioFreeBytes, compressed * kMostRatio);

  SegmentStream source(message);
  google::protobuf::io::GzipInputStream stream(&source, google::protobuf::io::GzipInputStream::AUTO);
  std::string out;
  const void* data = nullptr;
  int size = 0;
  while (stream.Next(&data, &size)) {
    if (out.size() + static_cast<std::size_t>(size) > std::min(limit, by_ratio)) {
      const std::string bound = limit <= by_ratio ? "the limit is " + std::to_string(limit)
                                                  : "the limit for " + std::to_string(compressed) +
                                                        " compressed bytes is " + std::to_string(by_ratio);
      return ResourceExhausted("message_too_large",
                               "the decompressed message has more bytes than allowed: " + bound);
    }
    out.append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  }
  if (stream.ZlibErrorMessage() != nullptr || stream.ZlibErrorCode() < 0) {
    return InvalidArgument("compression_malformed", "the compressed message can't be decompressed");
  }
  return out;
}

}  // namespace mezzo::api::rpc
