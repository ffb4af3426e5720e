#include "mezzo/drivers/onnxruntime/internal/allocator.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

thread_local MemoryAccount* loading_account = nullptr;

constexpr std::size_t kPage = 4096;
/// Of a block; the last size class ends here.
constexpr std::size_t kMaxSize = std::size_t{1} << 40U;

std::size_t RoundUp(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

void* Map(std::size_t size) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

/// Passes through the library's frames, which end the run with its text.
class NoMemory final : public std::bad_alloc {
 public:
  explicit NoMemory(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace

/// Stands in the 64 bytes before what the caller gets.
struct SessionAllocator::Header {
  enum class Kind : std::uint8_t { kMalloc, kMapped, kCached };

  void* base = nullptr;  ///< Where the block begins.
  std::size_t size = 0;  ///< Of the block, this header included.
  MemoryAccount* account = nullptr;
  Header* next = nullptr;
  std::uint32_t epoch = 0;
  std::uint16_t size_class = 0;
  Kind kind = Kind::kMalloc;
};

SessionAllocator::LoadScope::LoadScope(MemoryAccount& account) { loading_account = &account; }
SessionAllocator::LoadScope::~LoadScope() { loading_account = nullptr; }

SessionAllocator::SessionAllocator(const OrtMemoryInfo* memory, ByteCount max_cached, ByteCount max_run)
    : max_cached_(max_cached), max_run_(max_run) {
  callbacks_.version = ORT_API_VERSION;
  callbacks_.self = this;
  callbacks_.memory = memory;
  callbacks_.Alloc = [](OrtAllocator* a, std::size_t size) {
    return static_cast<Callbacks*>(a)->self->AllocateOrThrow(size);
  };
  callbacks_.Reserve = callbacks_.Alloc;
  callbacks_.Free = [](OrtAllocator* a, void* payload) { static_cast<Callbacks*>(a)->self->Free(payload); };
  callbacks_.Info = [](const OrtAllocator* a) { return static_cast<const Callbacks*>(a)->memory; };
}

SessionAllocator::~SessionAllocator() {
  Trim();
  Trim();
}

std::size_t SessionAllocator::ClassOf(std::size_t size) {
  const std::size_t steps = (size - 1) / kMinMapped;
  if (steps == 0) return 0;
  // With the highest bit of (size - 1) and the two below it the class is found without a loop.
  const auto log = static_cast<std::size_t>(std::bit_width(size - 1)) - 1;
  const std::size_t quarter = ((size - 1) >> (log - 2)) & 3U;
  const auto base = static_cast<std::size_t>(std::bit_width(kMinMapped)) - 1;
  return (log - base) * 4 + quarter + 1;
}

std::size_t SessionAllocator::ClassSize(std::size_t index) {
  if (index == 0) return kMinMapped;
  return (kMinMapped << ((index - 1) / 4)) / 4 * (5 + (index - 1) % 4);
}

void SessionAllocator::Charge(const Header& block, std::int64_t sign) {
  if (block.account == nullptr) return;
  const std::int64_t bytes = sign * static_cast<std::int64_t>(block.size);
  if (block.kind == Header::Kind::kMalloc) {
    block.account->AddMalloc(bytes);
  } else {
    block.account->AddMapped(bytes);
  }
}

bool SessionAllocator::TakeRunBytes(ByteCount bytes) {
  ByteCount held = run_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > max_run_ || held > max_run_ - bytes) return false;
  } while (!run_bytes_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
  return true;
}

void* SessionAllocator::AllocateOrThrow(std::size_t size) {
  void* const at = Allocate(size);
  if (at != nullptr || size == 0) [[likely]]
    return at;
  const std::string what = std::string(kNoMemory) + "a tensor takes " + FormatBytes(size);
  const ByteCount held = run_bytes();
  const bool ours = loading_account == nullptr && (size > max_run_ || held > max_run_ - size);
  if (!ours) throw NoMemory(what + ", which the system does not give");
  throw NoMemory(what + "; runs hold " + FormatBytes(held) + " and may hold " + FormatBytes(max_run_));
}

void* SessionAllocator::Allocate(std::size_t size) {
  static_assert(sizeof(Header) <= kAlignment);
  // Beyond any machine, and rounding must not overflow.
  if (size == 0 || size > kMaxSize - kAlignment) return nullptr;
  MemoryAccount* const account = loading_account;
  Header header{.account = account};
  Header* at = nullptr;
  if (size + kAlignment < kMinMapped) {
    header.size = size + 2 * kAlignment;
    header.base = std::malloc(header.size);
    if (header.base == nullptr) return nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(header.base);
    const std::size_t skip = RoundUp(address, kAlignment) - address;
    at = reinterpret_cast<Header*>(static_cast<std::byte*>(header.base) + skip);
  } else if (account != nullptr) {
    header.kind = Header::Kind::kMapped;
    header.size = RoundUp(size + kAlignment, kPage);
    at = static_cast<Header*>(header.base = Map(header.size));
  } else {
    header.kind = Header::Kind::kCached;
    header.size_class = static_cast<std::uint16_t>(ClassOf(size + kAlignment));
    header.size = ClassSize(header.size_class);
    if (!TakeRunBytes(header.size)) return nullptr;
    at = TakeCached(header.size_class);
    if (at == nullptr) at = static_cast<Header*>(Map(header.size));
    if (at == nullptr) run_bytes_.fetch_sub(header.size, std::memory_order_relaxed);
    header.base = at;
  }
  if (at == nullptr) return nullptr;
  Charge(header, 1);
  return reinterpret_cast<std::byte*>(new (at) Header(header)) + kAlignment;
}

void SessionAllocator::Free(void* payload) {
  if (payload == nullptr) return;
  auto* const at = reinterpret_cast<Header*>(static_cast<std::byte*>(payload) - kAlignment);
  Charge(*at, -1);
  if (at->kind == Header::Kind::kMalloc) return std::free(at->base);
  if (at->kind == Header::Kind::kCached) {
    run_bytes_.fetch_sub(at->size, std::memory_order_relaxed);
    const MutexLock lock(mu_);
    if (cached_bytes_ + at->size <= max_cached_) {
      at->epoch = epoch_;
      at->next = cached_[at->size_class];
      cached_[at->size_class] = at;
      cached_bytes_ += at->size;
      return;
    }
  }
  ::munmap(at->base, at->size);
}

SessionAllocator::Header* SessionAllocator::TakeCached(std::size_t index) {
  const MutexLock lock(mu_);
  Header* const at = cached_[index];
  if (at == nullptr) return nullptr;
  cached_[index] = at->next;
  cached_bytes_ -= at->size;
  return at;
}

void SessionAllocator::Trim() {
  Header* old = nullptr;
  {
    const MutexLock lock(mu_);
    for (Header*& list : cached_) {
      // The last used come first, so the old ones are a tail.
      Header** link = &list;
      while (*link != nullptr && (*link)->epoch == epoch_) link = &(*link)->next;
      while (Header* const at = *link) {
        *link = at->next;
        cached_bytes_ -= at->size;
        at->next = old;
        old = at;
      }
    }
    ++epoch_;
  }
  while (old != nullptr) {
    Header* const at = old;
    old = at->next;
    ::munmap(at->base, at->size);
  }
}

ByteCount SessionAllocator::cached_bytes() const {
  const MutexLock lock(mu_);
  return cached_bytes_;
}

}  // namespace mezzo::drivers
