#pragma once

#include <onnxruntime_c_api.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/mutex.h"

namespace mezzo::drivers {

/// Bytes that one session took while it was loaded and still holds. Must outlive the session.
class MemoryAccount {
 public:
  void AddMapped(std::int64_t bytes) { mapped_.fetch_add(bytes, std::memory_order_relaxed); }
  void AddMalloc(std::int64_t bytes) { malloc_.fetch_add(bytes, std::memory_order_relaxed); }
  /// In blocks of their own.
  [[nodiscard]] ByteCount mapped() const { return Positive(mapped_.load(std::memory_order_relaxed)); }
  /// In malloc's heap, where the C library counts them too.
  [[nodiscard]] ByteCount malloced() const { return Positive(malloc_.load(std::memory_order_relaxed)); }

 private:
  static ByteCount Positive(std::int64_t bytes) { return bytes < 0 ? 0 : static_cast<ByteCount>(bytes); }
  // Only sums; nothing is published through them.
  std::atomic<std::int64_t> mapped_{0};
  std::atomic<std::int64_t> malloc_{0};
};

/// The CPU memory of all sessions.
///
/// What a load takes is charged to its account, and large blocks of it are mapped one by one, so that
/// unloading gives them back to the system at once. Large blocks of runs are kept in size classes for the
/// next run, up to a limit: mapping anew would cost a page fault for every 4 KiB. Small blocks come from
/// malloc. All are aligned to 64 bytes.
///
/// What runs hold in such blocks, outputs that are still read among it, is bounded: `max_run`.
///
/// Thread-safe. Outlives every session and output (OnnxRuntime sees to that).
class SessionAllocator {
 public:
  SessionAllocator(const OrtMemoryInfo* memory, ByteCount max_cached, ByteCount max_run);
  ~SessionAllocator();
  SessionAllocator(const SessionAllocator&) = delete;
  SessionAllocator& operator=(const SessionAllocator&) = delete;

  /// While it lives, what this thread allocates belongs to `account`.
  class LoadScope {
   public:
    explicit LoadScope(MemoryAccount& account);
    ~LoadScope();
    LoadScope(const LoadScope&) = delete;
    LoadScope& operator=(const LoadScope&) = delete;
  };

  /// For the C interface. Its Alloc throws a std::bad_alloc where there is no memory, as the library's own
  /// allocator does: the library writes to what it is given, null or not. what() begins with kNoMemory.
  [[nodiscard]] OrtAllocator* ort() { return &callbacks_; }

  /// What such a failure's text begins with, wherever the library passes it on.
  static constexpr std::string_view kNoMemory = "mezzo has no memory for this: ";

  /// Null when `size` is 0, when the system has no memory, or when runs would hold more than they may.
  void* Allocate(std::size_t size);
  void Free(void* payload);
  /// Gives cached blocks that were not used since the last call back to the system.
  void Trim() EXCLUDES(mu_);
  [[nodiscard]] ByteCount cached_bytes() const EXCLUDES(mu_);
  /// In the large blocks that runs hold now.
  [[nodiscard]] ByteCount run_bytes() const { return run_bytes_.load(std::memory_order_relaxed); }

  /// Smaller blocks come from malloc.
  static constexpr std::size_t kMinMapped = std::size_t{64} << 10U;
  static constexpr std::size_t kAlignment = 64;

 private:
  struct Header;
  struct Callbacks : OrtAllocator {
    SessionAllocator* self = nullptr;
    const OrtMemoryInfo* memory = nullptr;
  };
  /// One up to kMinMapped, then four for each doubling up to 2^40.
  static constexpr std::size_t kClasses = 97;

  void* AllocateOrThrow(std::size_t size);
  /// False, and nothing is taken: it would be more than runs may hold.
  bool TakeRunBytes(ByteCount bytes);
  static void Charge(const Header& block, std::int64_t sign);
  static std::size_t ClassOf(std::size_t size);
  static std::size_t ClassSize(std::size_t index);
  Header* TakeCached(std::size_t index) EXCLUDES(mu_);

  Callbacks callbacks_{};
  const ByteCount max_cached_;
  const ByteCount max_run_;
  std::atomic<ByteCount> run_bytes_{0};  // Alone: a sum.
  mutable Mutex mu_;
  std::array<Header*, kClasses> cached_ GUARDED_BY(mu_){};
  ByteCount cached_bytes_ GUARDED_BY(mu_) = 0;
  std::uint32_t epoch_ GUARDED_BY(mu_) = 0;
};

}  // namespace mezzo::drivers
