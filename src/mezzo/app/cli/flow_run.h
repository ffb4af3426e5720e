#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/app/cli/arrivals.h"
#include "mezzo/app/cli/latency_histogram.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"

namespace mezzo::app::cli {

/// What was counted of one flow. "Measured" requests are those meant to be sent after the warm-up.
struct FlowTally {
  std::uint64_t intended =
      0;                   ///< Measured requests: the sum of all the outcomes below once the run has ended.
  std::uint64_t ok = 0;    ///< Answered with success, in time or late.
  std::uint64_t late = 0;  ///< Of `ok`, those after the deadline.
  std::uint64_t refused = 0;  ///< Answered with an error.
  std::uint64_t failed = 0;   ///< Not answered: connection lost, timeout.
  std::uint64_t dropped = 0;  ///< Not sent: `max_outstanding` requests were waiting already.
  std::uint64_t waited = 0;   ///< Sent late because no connection was free.
  /// Answers by when they came (from the end of the warm-up to FlowRun::window_end()), whenever they were
  /// sent: what rates are made of.
  std::uint64_t answers_in_window = 0;
  std::uint64_t good_in_window = 0;               ///< Of those, successes within the deadline.
  std::map<std::string, std::uint64_t> refusals;  ///< "503 queue_full", at most 64 kinds, then "other".
  std::map<std::string, std::uint64_t> failures;  ///< "timeout", likewise.
  LatencyHistogram latency;                       ///< Successes, from the intended time.
  LatencyHistogram service;                       ///< Successes, from the time of sending.
  LatencyHistogram refusal_latency;               ///< Refusals, from the intended time.
  LatencyHistogram send_lag;  ///< Everything sent, from the intended time to the time of sending.
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;

  void Add(const FlowTally& other);
};

/// One request on its way.
struct Ticket {
  TimePoint intended;
  TimePoint sent;
  std::uint64_t number = 0;  ///< Of this flow on this thread, from 0: chooses the payload.
};

/// How a request ended.
struct Completion {
  enum class Kind : std::uint8_t { kOk, kRefused, kFailed };
  Kind kind = Kind::kOk;
  std::string_view detail;  ///< "503 queue_full", "timeout"; unused for kOk.
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
};

/// The state of one flow on one thread: which requests are due, which wait for a connection, which are on
/// their way. Performs no I/O and reads no clock, so that tests drive it through virtual time.
///
/// Latency counts from the time that the schedule intended, also when the request had to wait here: a server
/// that stalls is charged for everything that should have happened meanwhile ("coordinated omission"
/// avoided).
///
/// Thread-safe.
class FlowRun {
 public:
  struct Options {
    Duration warmup{};  ///< Requests intended before its end are sent but not measured.
    Duration duration = std::chrono::seconds(10);  ///< From the warm-up's end to the last intended request.
    std::uint64_t max_requests = 0;                ///< Measured ones; 0: only `duration` ends the flow.
    std::size_t max_outstanding = 10000;           ///< Open loop: requests sent or waiting; more are dropped.
    std::size_t concurrency = 0;       ///< Closed loop when above 0: so many requests always on their way.
    std::optional<Duration> deadline;  ///< Successes later than this are late.
    Duration timeout = std::chrono::seconds(10);
  };
  /// `schedule` is null in the closed loop.
  FlowRun(Options options, std::unique_ptr<ArrivalSchedule> schedule);

  /// Sets offset zero of the schedule; once, before anything else.
  void Begin(TimePoint start) EXCLUDES(mu_);
  /// Moves the arrivals due at `now` to the waiting ones, drops what is too much, and gives up on those that
  /// have waited for a connection longer than the timeout.
  void Advance(TimePoint now) EXCLUDES(mu_);
  /// The next request to send at `now`, if one is due. Every ticket must come back by Finish().
  std::optional<Ticket> Take(TimePoint now) EXCLUDES(mu_);
  void Finish(const Ticket& ticket, const Completion& completion, TimePoint now) EXCLUDES(mu_);
  /// No more arrivals; what waits is forgotten. What is on its way may still finish.
  void Stop(TimePoint now) EXCLUDES(mu_);

  /// When Advance() has to be called next; kNever when the schedule has ended or in the closed loop.
  [[nodiscard]] TimePoint next_arrival() const EXCLUDES(mu_);
  [[nodiscard]] bool Finished(TimePoint now) const EXCLUDES(mu_);
  [[nodiscard]] std::size_t in_flight() const EXCLUDES(mu_);
  /// What Begin() set; kNever before.
  [[nodiscard]] TimePoint start() const EXCLUDES(mu_);
  /// Until when `answers_in_window` counts: the end of the duration or Stop(); the last answer when
  /// `max_requests` or the trace's end ended the flow before.
  [[nodiscard]] TimePoint window_end() const EXCLUDES(mu_);
  [[nodiscard]] FlowTally Collect() const EXCLUDES(mu_);
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  [[nodiscard]] bool IsMeasured(TimePoint intended) const REQUIRES(mu_) { return intended >= measure_from_; }
  void DrawNext() REQUIRES(mu_);
  void EndArrivals() REQUIRES(mu_);

  const Options options_;
  mutable Mutex mu_;
  std::unique_ptr<ArrivalSchedule> schedule_ GUARDED_BY(mu_);
  TimePoint start_ GUARDED_BY(mu_) = kNever;
  TimePoint measure_from_ GUARDED_BY(mu_) = kNever;
  TimePoint end_ GUARDED_BY(mu_) = kNever;
  TimePoint next_ GUARDED_BY(mu_) = kNever;
  bool ended_ GUARDED_BY(mu_) = false;
  TimePoint window_end_ GUARDED_BY(mu_) = kNever;  // kNever: the last answer.
  TimePoint last_answer_ GUARDED_BY(mu_);
  std::deque<TimePoint> waiting_ GUARDED_BY(mu_);
  std::size_t in_flight_ GUARDED_BY(mu_) = 0;
  std::uint64_t next_number_ GUARDED_BY(mu_) = 0;
  FlowTally tally_ GUARDED_BY(mu_);
};

}  // namespace mezzo::app::cli
