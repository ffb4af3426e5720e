#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/observe/trace.h"

namespace mezzo::observe::internal {

/// When to send which spans: the logic of SpanSink, without thread, lock or clock.
///
/// A batch is due when `max_batch` spans wait or the oldest has waited `max_delay`. A batch that failed in a
/// way that may pass is tried again after a pause that doubles, up to `max_attempts` times; then it is
/// dropped.
class SpanBuffer {
 public:
  struct Options {
    std::size_t max_queued = 4096;  ///< Spans waiting; Add() refuses beyond.
    std::size_t max_batch = 256;    ///< Spans in one export.
    Duration max_delay = std::chrono::seconds(2);
    std::uint32_t max_attempts = 4;  ///< Of one batch.
    Duration first_pause = std::chrono::milliseconds(500);
    Duration longest_pause = std::chrono::seconds(10);
  };
  using Batch = std::vector<std::unique_ptr<const Span>>;

  explicit SpanBuffer(const Options& options) : options_(options) {}

  /// False when full: the span is gone. True: kept.
  bool Add(std::unique_ptr<const Span> span, TimePoint now);
  /// When something is due; kNever when nothing waits. While a batch is out, kNever too.
  [[nodiscard]] TimePoint NextDue(bool flush) const;
  /// Whether a batch is due. The caller then reads batch(), exports it and calls Finish().
  [[nodiscard]] bool Begin(TimePoint now, bool flush);
  /// The spans that are out. Unchanged between Begin() and Finish().
  [[nodiscard]] const Batch& batch() const { return batch_; }
  /// Ends an export. A batch not delivered stays for another attempt when `retry` and attempts remain.
  /// Returns how many spans were dropped.
  std::size_t Finish(bool delivered, bool retry, TimePoint now);
  /// Drops everything; returns how many spans that were.
  std::size_t Clear();
  /// Spans queued or in a batch that is not delivered.
  [[nodiscard]] std::size_t size() const { return queue_.size() + batch_.size(); }

 private:
  struct Waiting {
    std::unique_ptr<const Span> span;
    TimePoint since;
  };

  const Options options_;
  std::deque<Waiting> queue_;
  Batch batch_;                 // Out, or waiting for its next attempt.
  bool out_ = false;            // Between Begin() and Finish().
  std::uint32_t attempts_ = 0;  // Of batch_.
  TimePoint retry_at_;
};

}  // namespace mezzo::observe::internal
