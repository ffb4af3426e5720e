#include "mezzo/observe/internal/span_buffer.h"

#include <algorithm>
#include <utility>

namespace mezzo::observe::internal {

bool SpanBuffer::Add(std::unique_ptr<const Span> span, TimePoint now) {
  if (size() >= options_.max_queued) return false;
  queue_.push_back({.span = std::move(span), .since = now});
  return true;
}

TimePoint SpanBuffer::NextDue(bool flush) const {
  if (out_) return kNever;
  if (!batch_.empty()) return retry_at_;
  if (queue_.empty()) return kNever;
  if (flush || queue_.size() >= options_.max_batch) return queue_.front().since;
  return AddSaturating(queue_.front().since, options_.max_delay);
}

bool SpanBuffer::Begin(TimePoint now, bool flush) {
  const TimePoint due = NextDue(flush);
  if (due == kNever || now < due) return false;
  if (batch_.empty()) {
    attempts_ = 0;
    while (!queue_.empty() && batch_.size() < options_.max_batch) {
      batch_.push_back(std::move(queue_.front().span));
      queue_.pop_front();
    }
  }
  ++attempts_;
  out_ = true;
  return true;
}

std::size_t SpanBuffer::Finish(bool delivered, bool retry, TimePoint now) {
  out_ = false;
  if (!delivered && retry && attempts_ < options_.max_attempts) {
    const std::uint32_t doublings = std::min<std::uint32_t>(attempts_ - 1, 30);
    const Duration pause =
        std::min(options_.longest_pause, options_.first_pause * (std::int64_t{1} << doublings));
    retry_at_ = AddSaturating(now, pause);
    return 0;
  }
  const std::size_t dropped = delivered ? 0 : batch_.size();
  batch_.clear();
  return dropped;
}

std::size_t SpanBuffer::Clear() {
  const std::size_t dropped = size();
  queue_.clear();
  batch_.clear();
  return dropped;
}

}  // namespace mezzo::observe::internal
