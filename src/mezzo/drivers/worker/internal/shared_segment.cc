#include "mezzo/drivers/worker/internal/shared_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

constexpr ByteCount kMaxSegment = ByteCount{1} << 40U;

Error Full(ByteCount bytes, const std::string& why) {
  return ResourceExhausted("worker_memory_full",
                           "no " + FormatBytes(bytes) + " of memory to share with the worker: " + why);
}

}  // namespace

bool SegmentBudget::TryTake(ByteCount bytes) {
  ByteCount taken = taken_.load(std::memory_order_relaxed);
  do {
    if (bytes > limit_ || taken > limit_ - bytes) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
  return true;
}

Result<std::unique_ptr<SharedSegment>> SharedSegment::Create(std::uint32_t number, ByteCount bytes,
                                                             std::shared_ptr<SegmentBudget> budget) {
  const auto page = static_cast<ByteCount>(::sysconf(_SC_PAGESIZE));
  if (bytes > kMaxSegment) return Full(bytes, "that is more than a segment may have");
  const ByteCount size = (bytes + page - 1) / page * page;
  if (!budget->TryTake(size)) {
    return Full(bytes, FormatBytes(budget->taken()) + " of " + FormatBytes(budget->limit()) + " are in use");
  }
  std::unique_ptr<SharedSegment> segment(new SharedSegment(number, size, std::move(budget)));
  const auto failed = [bytes](const char* what) {
    return Full(bytes, std::string(what) + ": " + std::strerror(errno));
  };
  segment->fd_ = Fd(::memfd_create("mezzo-tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!segment->fd_.ok()) return failed("memfd_create");
  if (::ftruncate(segment->fd_.get(), static_cast<off_t>(size)) != 0) return failed("ftruncate");
  if (::fcntl(segment->fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed("sealing");
  }
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd_.get(), 0);
  if (data == MAP_FAILED) return failed("mmap");
  segment->data_ = static_cast<std::byte*>(data);
  return segment;
}

SharedSegment::~SharedSegment() {
  if (data_ != nullptr) ::munmap(data_, size_);
  budget_->GiveBack(size_);
}

}  // namespace mezzo::drivers
