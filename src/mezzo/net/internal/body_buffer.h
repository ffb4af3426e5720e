#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "mezzo/base/bytes.h"

namespace mezzo::net {

/// How many bytes of bodies may be in memory at once. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(ByteCount limit) : limit_(limit) {}
  /// False, and nothing taken, when the limit would be exceeded.
  [[nodiscard]] bool TryTake(ByteCount bytes);
  void Give(ByteCount bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  [[nodiscard]] ByteCount used() const { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] ByteCount limit() const { return limit_; }

 private:
  const ByteCount limit_;
  std::atomic<ByteCount> used_{0};  // A plain sum; no partner.
};

/// A growing body whose byte `align_offset` has an address divisible by 64; what it holds counts against a
/// budget until the last SharedBytes made of it has gone. Not thread-safe.
class BodyBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  BodyBuffer() = default;
  BodyBuffer(std::shared_ptr<ByteBudget> budget, std::size_t align_offset)
      : budget_(std::move(budget)), align_offset_(align_offset) {}

  /// Makes room for `capacity` bytes in all. False when the budget does not allow it; the content stays.
  [[nodiscard]] bool Reserve(std::size_t capacity);
  /// Adds bytes, growing by doubling up to `max_size`, which must not be exceeded. False as Reserve().
  [[nodiscard]] bool Append(const char* from, std::size_t count, std::size_t max_size);
  /// Counts bytes written at end() as content; they must fit room().
  void Commit(std::size_t count) { size_ += count; }

  [[nodiscard]] char* end() { return data_ + size_; }
  [[nodiscard]] std::size_t room() const { return capacity_ - size_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Hands the content over; the buffer is empty afterwards.
  [[nodiscard]] SharedBytes Take();

 private:
  std::shared_ptr<ByteBudget> budget_;
  std::size_t align_offset_ = 0;
  std::shared_ptr<const void> owner_;
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace mezzo::net
