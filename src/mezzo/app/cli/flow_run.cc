#include "mezzo/app/cli/flow_run.h"

#include <algorithm>
#include <utility>

namespace mezzo::app::cli {
namespace {

constexpr std::size_t kMaxKinds = 64;
/// Sending this much after the intended time means that the request waited, not that the timer was coarse.
constexpr Duration kNoticeableWait = std::chrono::milliseconds(1);

void CountKind(std::map<std::string, std::uint64_t>& kinds, std::string_view kind, std::uint64_t count = 1) {
  std::string key(kind);
  const auto found = kinds.find(key);
  if (found != kinds.end()) {
    found->second += count;
  } else {
    kinds[kinds.size() < kMaxKinds ? std::move(key) : std::string("other")] += count;
  }
}

}  // namespace

void FlowTally::Add(const FlowTally& other) {
  intended += other.intended;
  ok += other.ok;
  late += other.late;
  refused += other.refused;
  failed += other.failed;
  dropped += other.dropped;
  waited += other.waited;
  answers_in_window += other.answers_in_window;
  good_in_window += other.good_in_window;
  for (const auto& [kind, count] : other.refusals) CountKind(refusals, kind, count);
  for (const auto& [kind, count] : other.failures) CountKind(failures, kind, count);
  latency.Add(other.latency);
  service.Add(other.service);
  refusal_latency.Add(other.refusal_latency);
  send_lag.Add(other.send_lag);
  sent_bytes += other.sent_bytes;
  received_bytes += other.received_bytes;
}

FlowRun::FlowRun(Options options, std::unique_ptr<ArrivalSchedule> schedule)
    : options_(options), schedule_(std::move(schedule)) {}

void FlowRun::Begin(TimePoint start) {
  MutexLock lock(mu_);
  start_ = start;
  measure_from_ = AddSaturating(start, options_.warmup);
  end_ = AddSaturating(measure_from_, options_.duration);
  window_end_ = end_;
  last_answer_ = measure_from_;
  if (schedule_ != nullptr) DrawNext();
}

void FlowRun::DrawNext() {
  const Duration offset = schedule_->Next();
  const TimePoint at = offset == ArrivalSchedule::kEnd ? kNever : AddSaturating(start_, offset);
  if (at < end_) {
    next_ = at;
    return;
  }
  EndArrivals();
  if (offset == ArrivalSchedule::kEnd) window_end_ = kNever;  // A trace shorter than the run.
}

void FlowRun::EndArrivals() {
  next_ = kNever;
  ended_ = true;
}

void FlowRun::Advance(TimePoint now) {
  MutexLock lock(mu_);
  while (next_ <= now) {
    const TimePoint intended = next_;
    if (IsMeasured(intended)) ++tally_.intended;
    if (waiting_.size() + in_flight_ < options_.max_outstanding) {
      waiting_.push_back(intended);
    } else if (IsMeasured(intended)) {
      ++tally_.dropped;
    }
    if (options_.max_requests > 0 && tally_.intended >= options_.max_requests) {
      EndArrivals();
      window_end_ = kNever;
    } else {
      DrawNext();
    }
  }
  while (!waiting_.empty() && now - waiting_.front() >= options_.timeout) {
    if (IsMeasured(waiting_.front())) {
      ++tally_.failed;
      CountKind(tally_.failures, "not_sent");
    }
    waiting_.pop_front();
  }
}

std::optional<Ticket> FlowRun::Take(TimePoint now) {
  MutexLock lock(mu_);
  TimePoint intended = now;
  if (options_.concurrency > 0) {
    if (in_flight_ >= options_.concurrency || now < start_ || ended_) return std::nullopt;
    if (now >= end_) {
      EndArrivals();
      return std::nullopt;
    }
    if (IsMeasured(intended) && ++tally_.intended == options_.max_requests) {
      EndArrivals();
      window_end_ = kNever;
    }
  } else {
    if (waiting_.empty()) return std::nullopt;
    intended = waiting_.front();
    waiting_.pop_front();
  }
  ++in_flight_;
  if (IsMeasured(intended)) {
    tally_.send_lag.Record(now - intended);
    if (now - intended >= kNoticeableWait) ++tally_.waited;
  }
  return Ticket{.intended = intended, .sent = now, .number = next_number_++};
}

void FlowRun::Finish(const Ticket& ticket, const Completion& completion, TimePoint now) {
  MutexLock lock(mu_);
  --in_flight_;
  tally_.sent_bytes += completion.sent_bytes;
  tally_.received_bytes += completion.received_bytes;
  const Duration latency = now - ticket.intended;
  const bool in_time = !options_.deadline.has_value() || latency <= *options_.deadline;
  const bool is_ok = completion.kind == Completion::Kind::kOk;
  last_answer_ = now;
  if (is_ok && now >= measure_from_ && now < window_end_) {
    ++tally_.answers_in_window;
    if (in_time) ++tally_.good_in_window;
  }
  if (!IsMeasured(ticket.intended)) return;
  switch (completion.kind) {
    case Completion::Kind::kOk:
      ++tally_.ok;
      if (!in_time) ++tally_.late;
      tally_.latency.Record(latency);
      tally_.service.Record(now - ticket.sent);
      return;
    case Completion::Kind::kRefused:
      ++tally_.refused;
      CountKind(tally_.refusals, completion.detail);
      tally_.refusal_latency.Record(latency);
      return;
    case Completion::Kind::kFailed:
      ++tally_.failed;
      CountKind(tally_.failures, completion.detail);
      return;
  }
}

void FlowRun::Stop(TimePoint now) {
  MutexLock lock(mu_);
  EndArrivals();
  window_end_ = std::min(window_end_, now);
  for (const TimePoint intended : waiting_) {
    if (IsMeasured(intended)) --tally_.intended;
  }
  waiting_.clear();
}

TimePoint FlowRun::next_arrival() const {
  MutexLock lock(mu_);
  return next_;
}

bool FlowRun::Finished(TimePoint now) const {
  MutexLock lock(mu_);
  const bool ended = options_.concurrency > 0 ? now >= end_ || ended_ : next_ == kNever;
  return ended && waiting_.empty() && in_flight_ == 0;
}

std::size_t FlowRun::in_flight() const {
  MutexLock lock(mu_);
  return in_flight_;
}

TimePoint FlowRun::start() const {
  MutexLock lock(mu_);
  return start_;
}

TimePoint FlowRun::window_end() const {
  MutexLock lock(mu_);
  return window_end_ == kNever ? last_answer_ : window_end_;
}

FlowTally FlowRun::Collect() const {
  MutexLock lock(mu_);
  return tally_;
}

}  // namespace mezzo::app::cli
