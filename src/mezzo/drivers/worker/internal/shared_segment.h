#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "mezzo/base/bytes.h"
#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers {

/// Bounds the bytes of all segments of a session, also of those that answers still hold. Thread-safe.
class SegmentBudget {
 public:
  explicit SegmentBudget(ByteCount limit) : limit_(limit) {}

  [[nodiscard]] bool TryTake(ByteCount bytes);
  void GiveBack(ByteCount bytes) { taken_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] ByteCount limit() const { return limit_; }
  [[nodiscard]] ByteCount taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  const ByteCount limit_;
  std::atomic<ByteCount> taken_{0};  // A count, no partner.
};

/// Memory that this process and one worker see: a memory file without a name, mapped for reading and writing.
/// Its size is sealed, so nothing that a worker does to its descriptor can take a page away from under a
/// reader here. What a worker does to the bytes is another matter: they may change at any time.
class SharedSegment {
 public:
  /// `bytes` is above 0 and rounded up to whole pages. Fails with kResourceExhausted "worker_memory_full".
  static Result<std::unique_ptr<SharedSegment>> Create(std::uint32_t number, ByteCount bytes,
                                                       std::shared_ptr<SegmentBudget> budget);
  ~SharedSegment();
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;

  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] ByteCount size() const { return size_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  SharedSegment(std::uint32_t number, ByteCount size, std::shared_ptr<SegmentBudget> budget)
      : number_(number), size_(size), budget_(std::move(budget)) {}

  const std::uint32_t number_;
  const ByteCount size_;
  const std::shared_ptr<SegmentBudget> budget_;
  Fd fd_;
  std::byte* data_ = nullptr;
};

}  // namespace mezzo::drivers
