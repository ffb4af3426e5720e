#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/drivers/worker/internal/shared_segment.h"

namespace mezzo::drivers {

/// A frame on its way to a worker, with the descriptor of a segment beside it, or none.
struct OutgoingFrame {
  std::string bytes;
  std::shared_ptr<const SharedSegment> segment;
};

/// The segments that one worker knows: one for inputs, used again by every run, and a few for outputs, each
/// used again once no answer lies in it any more. Segments grow by being replaced. Every change is told to
/// the worker by frames appended to `frames`, which go out in order.
///
/// Not thread-safe: it belongs to whoever holds the worker's seat (WorkerDesk).
class SegmentArena {
 public:
  static constexpr std::size_t kMaxOutputs = 4;

  explicit SegmentArena(std::shared_ptr<SegmentBudget> budget) : budget_(std::move(budget)) {}

  /// Memory for the inputs of a run; what is in it from the run before is lost. Fails with
  /// "worker_memory_full".
  Result<std::shared_ptr<SharedSegment>> Input(ByteCount bytes, std::vector<OutgoingFrame>& frames);
  /// The largest segment for outputs that nothing lies in; null when there is none.
  [[nodiscard]] std::shared_ptr<SharedSegment> FreeOutput() const;
  /// A segment for outputs of at least `bytes` that nothing lies in. Fails with "worker_memory_full".
  Result<std::shared_ptr<SharedSegment>> Output(ByteCount bytes, std::vector<OutgoingFrame>& frames);
  /// The segment for outputs of this number; null when the worker was given none such.
  [[nodiscard]] std::shared_ptr<SharedSegment> FindOutput(std::uint32_t number) const;
  /// For a new process, which knows no segments.
  void Reset();

 private:
  Result<std::shared_ptr<SharedSegment>> Make(ByteCount bytes, bool writable,
                                              std::vector<OutgoingFrame>& frames);
  static void Forget(const SharedSegment& segment, std::vector<OutgoingFrame>& frames);

  const std::shared_ptr<SegmentBudget> budget_;
  std::uint32_t next_number_ = 1;
  std::shared_ptr<SharedSegment> input_;
  std::vector<std::shared_ptr<SharedSegment>> outputs_;  // Oldest first.
};

}  // namespace mezzo::drivers
