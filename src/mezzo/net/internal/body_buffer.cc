#include "mezzo/net/internal/body_buffer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "mezzo/base/sanitizers.h"

namespace mezzo::net {
namespace {

/// Gives its bytes back when the last reference to the body goes, on whatever thread.
class Charge {
 public:
  Charge(std::shared_ptr<ByteBudget> budget, ByteCount bytes) : budget_(std::move(budget)), bytes_(bytes) {}
  ~Charge() { budget_->Give(bytes_); }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  std::shared_ptr<ByteBudget> budget_;
  ByteCount bytes_;
};

/// Blocks for small bodies that this thread freed, for its next ones: malloc's own thread cache ends at 1,032
/// bytes, and its slow path costs as much as parsing the head. Bounded to 16 blocks of each size, 480 KiB.
class BlockCache {
 public:
  BlockCache() = default;
  ~BlockCache() {
    for (Shelf& shelf : shelves_) {
      while (shelf.count > 0) std::free(shelf.blocks.at(--shelf.count));
    }
  }
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  static void* Allocate(std::size_t size) {
    const std::size_t level = LevelOf(size);
    if (level == kLevels) return std::malloc(size);
    if (BlockCache* cache = OfThread(); cache != nullptr && cache->shelves_.at(level).count > 0) {
      Shelf& shelf = cache->shelves_.at(level);
      return shelf.blocks.at(--shelf.count);
    }
    return std::malloc(kSmallest << level);
  }

  /// `size` as it was given to Allocate(), on whatever thread.
  static void Free(void* memory, std::size_t size) {
    const std::size_t level = LevelOf(size);
    BlockCache* cache = level == kLevels ? nullptr : OfThread();
    if (cache == nullptr || cache->shelves_.at(level).count == kBlocks) {
      std::free(memory);
      return;
    }
    Shelf& shelf = cache->shelves_.at(level);
    shelf.blocks.at(shelf.count++) = memory;
  }

 private:
  static constexpr std::size_t kSmallest = 2048;
  static constexpr std::size_t kLevels = 4;  // 2, 4, 8 and 16 KiB.
  static constexpr std::size_t kBlocks = 16;
  struct Shelf {
    std::array<void*, kBlocks> blocks{};
    std::size_t count = 0;
  };

  /// Null when the thread is ending and its cache has gone.
  static BlockCache* OfThread() {
    thread_local bool gone = false;
    struct Holder {
      explicit Holder(bool& flag) : ended(flag) {}
      ~Holder() { ended = true; }
      bool& ended;
      BlockCache cache;
    };
    if (gone) return nullptr;
    thread_local Holder holder(gone);
    return &holder.cache;
  }

  static std::size_t LevelOf(std::size_t size) {
    if constexpr (kAddressSanitizer) return kLevels;  // Freed bodies stay poisoned.
    std::size_t level = 0;
    while (level < kLevels && size > kSmallest << level) ++level;
    return level;
  }

  std::array<Shelf, kLevels> shelves_;
};

/// Allocates a shared_ptr's control block with `extra` bytes behind it: one allocation for a body, not two.
template <typename T>
struct TailAllocator {
  using value_type = T;

  TailAllocator(std::size_t extra_bytes, char** tail_out) : extra(extra_bytes), tail(tail_out) {}
  template <typename U>
  TailAllocator(const TailAllocator<U>& other)
      : extra(other.extra), tail(other.tail) {}  // NOLINT(*-explicit-*)

  T* allocate(std::size_t n) {
    void* memory = BlockCache::Allocate(n * sizeof(T) + extra);
    if (memory == nullptr) std::abort();  // Out of memory aborts, here as everywhere.
    *tail = static_cast<char*>(memory) + n * sizeof(T);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t n) { BlockCache::Free(memory, n * sizeof(T) + extra); }
  friend bool operator==(const TailAllocator&, const TailAllocator&) { return true; }

  std::size_t extra;
  char** tail;  // Valid during allocation only.
};

}  // namespace

bool ByteBudget::TryTake(ByteCount bytes) {
  const ByteCount before = used_.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes <= limit_ && before <= limit_ - bytes) return true;
  Give(bytes);
  return false;
}

bool BodyBuffer::Reserve(std::size_t capacity) {
  if (capacity <= capacity_) return true;
  if (!budget_->TryTake(capacity)) return false;
  char* tail = nullptr;
  auto owner =
      std::allocate_shared<Charge>(TailAllocator<Charge>(capacity + kAlignment, &tail), budget_, capacity);
  const std::uintptr_t aligned = reinterpret_cast<std::uintptr_t>(tail) + align_offset_;
  char* data = tail + (kAlignment - aligned % kAlignment) % kAlignment;
  if (size_ > 0) std::memcpy(data, data_, size_);
  owner_ = std::move(owner);
  data_ = data;
  capacity_ = capacity;
  return true;
}

bool BodyBuffer::Append(const char* from, std::size_t count, std::size_t max_size) {
  if (count > room()) {
    const std::size_t wanted = std::max<std::size_t>({size_ + count, capacity_ * 2, 4096});
    if (!Reserve(std::max(std::min(wanted, max_size), size_ + count))) return false;
  }
  if (count > 0) std::memcpy(data_ + size_, from, count);
  size_ += count;
  return true;
}

SharedBytes BodyBuffer::Take() {
  SharedBytes bytes(std::move(owner_), {reinterpret_cast<const std::byte*>(data_), size_});
  owner_.reset();
  data_ = nullptr;
  size_ = capacity_ = 0;
  return bytes;
}

}  // namespace mezzo::net
