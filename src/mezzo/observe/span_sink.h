#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/internal/span_buffer.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/observe/trace.h"

namespace mezzo::observe {

/// Sends one OTLP/HTTP JSON body to a collector.
class SpanExporter {
 public:
  virtual ~SpanExporter() = default;
  /// Called by one thread at a time; may block, but must return within about `timeout`. The sink tries again
  /// only after errors that may pass (Error::IsRetryable) and kDeadlineExceeded.
  virtual Result<void> Export(std::string otlp_json, Duration timeout) = 0;
};

/// Takes finished spans and exports them in batches from a thread of its own. Add() never blocks: a full
/// queue drops the span and counts it. Thread-safe.
class SpanSink {
 public:
  struct Options {
    std::string service_name = "mezzo";
    std::string service_version;
    Duration export_timeout = std::chrono::seconds(5);
    internal::SpanBuffer::Options buffer;  ///< Queue bound, batch size and delay, retries and their pauses.
  };

  /// All must outlive the sink. With a null `exporter` spans are dropped uncounted.
  SpanSink(Options options, const Clock& clock, SpanExporter* exporter, Registry& registry);
  SpanSink(const SpanSink&) = delete;
  SpanSink& operator=(const SpanSink&) = delete;
  /// Stops without delivering what is left.
  ~SpanSink();

  void Add(std::unique_ptr<Span> span) EXCLUDES(mu_);

  /// Delivers what waits, for at most `limit` and one export_timeout, then stops the thread; what is left is
  /// dropped and counted. Further spans are dropped. Returns whether everything was delivered. May be called
  /// again.
  bool Stop(Duration limit) EXCLUDES(mu_);

 private:
  struct Metrics {
    explicit Metrics(Registry& registry);
    Counter& exported;
    Counter& dropped_full;
    Counter& dropped_failed;
    Counter& dropped_stopped;
    Counter& exports_ok;
    Counter& exports_failed;
    Histogram& export_seconds;
  };
  enum class State : std::uint8_t { kRunning, kStopping, kStopped };

  void Run() EXCLUDES(mu_);
  [[nodiscard]] bool MayContinue() const REQUIRES(mu_);
  /// Encodes and exports the batch that is out, without the lock.
  Result<void> ExportBatch(const internal::SpanBuffer::Batch& batch, Duration timeout);

  const Options options_;
  const Clock& clock_;
  SpanExporter* const exporter_;
  Metrics metrics_;
  mutable Mutex mu_;
  CondVar wake_;
  State state_ GUARDED_BY(mu_) = State::kRunning;
  TimePoint stop_at_ GUARDED_BY(mu_) = kNever;
  std::size_t lost_in_stop_ GUARDED_BY(mu_) = 0;
  internal::SpanBuffer buffer_ GUARDED_BY(mu_);
  Callback queued_gauge_;
  std::thread thread_;  // Last: uses every member above.
};

}  // namespace mezzo::observe
