#include "mezzo/drivers/worker/internal/segment_arena.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "mezzo/drivers/worker/internal/worker_frame.h"
#include "mezzo/drivers/worker/internal/worker_message.h"

namespace mezzo::drivers {
namespace {

constexpr ByteCount kSmallest = ByteCount{64} << 10U;
constexpr ByteCount kDoubleBelow = ByteCount{64} << 20U;

/// Sizes grow by doubling while that is cheap, so that a worker is seldom told of a new segment.
ByteCount Rounded(ByteCount bytes) {
  if (bytes >= kDoubleBelow) return bytes;
  return std::bit_ceil(std::max(bytes, kSmallest));
}

/// Nobody but the arena holds it. What lets go last is an answer's destructor on any thread; the count it
/// leaves is all that is looked at, and the worker, not this process, writes to the bytes next.
bool IsFree(const std::shared_ptr<SharedSegment>& segment) { return segment.use_count() == 1; }

}  // namespace

Result<std::shared_ptr<SharedSegment>> SegmentArena::Make(ByteCount bytes, bool writable,
                                                          std::vector<OutgoingFrame>& frames) {
  MEZZO_TRY(std::shared_ptr<SharedSegment> segment,
            SharedSegment::Create(next_number_, Rounded(bytes), budget_));
  ++next_number_;
  frames.push_back(
      {.bytes = EncodeWorkerFrame(WorkerSegmentJson(segment->number(), segment->size(), writable)),
       .segment = segment});
  return segment;
}

void SegmentArena::Forget(const SharedSegment& segment, std::vector<OutgoingFrame>& frames) {
  frames.push_back({.bytes = EncodeWorkerFrame(WorkerForgetJson(segment.number())), .segment = nullptr});
}

Result<std::shared_ptr<SharedSegment>> SegmentArena::Input(ByteCount bytes,
                                                           std::vector<OutgoingFrame>& frames) {
  if (input_ != nullptr && input_->size() >= bytes) return input_;
  // The old one goes first: both together may be more than the budget has.
  if (input_ != nullptr) Forget(*input_, frames);
  input_ = nullptr;
  MEZZO_TRY(input_, Make(bytes, /*writable=*/false, frames));
  return input_;
}

std::shared_ptr<SharedSegment> SegmentArena::FreeOutput() const {
  std::shared_ptr<SharedSegment> largest;
  for (const auto& segment : outputs_) {
    const bool candidate = IsFree(segment);
    if (candidate && (largest == nullptr || segment->size() > largest->size())) largest = segment;
  }
  return largest;
}

Result<std::shared_ptr<SharedSegment>> SegmentArena::Output(ByteCount bytes,
                                                            std::vector<OutgoingFrame>& frames) {
  for (const auto& segment : outputs_) {
    if (segment->size() >= bytes && IsFree(segment)) return segment;
  }
  // Free ones are too small, and from now on in the way.
  std::erase_if(outputs_, [&frames](const auto& segment) {
    if (!IsFree(segment)) return false;
    Forget(*segment, frames);
    return true;
  });
  if (outputs_.size() >= kMaxOutputs) {
    // Its answers keep it alive; the worker just won't write to it again.
    Forget(*outputs_.front(), frames);
    outputs_.erase(outputs_.begin());
  }
  MEZZO_TRY(std::shared_ptr<SharedSegment> made, Make(bytes, /*writable=*/true, frames));
  outputs_.push_back(made);
  return made;
}

std::shared_ptr<SharedSegment> SegmentArena::FindOutput(std::uint32_t number) const {
  const auto found = std::find_if(outputs_.begin(), outputs_.end(),
                                  [number](const auto& segment) { return segment->number() == number; });
  return found == outputs_.end() ? nullptr : *found;
}

void SegmentArena::Reset() {
  input_.reset();
  outputs_.clear();
}

}  // namespace mezzo::drivers
