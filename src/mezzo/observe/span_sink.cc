#include "mezzo/observe/span_sink.h"

#include <algorithm>
#include <utility>

#include "mezzo/observe/internal/otlp_json.h"

namespace mezzo::observe {
namespace {

constexpr std::string_view kDropped = "mezzo_observe_spans_dropped_total";
constexpr std::string_view kDroppedHelp = "Sampled spans that were not exported, by reason.";
constexpr std::string_view kExports = "mezzo_observe_span_exports_total";
constexpr std::string_view kExportsHelp = "Calls to the trace collector, by outcome.";

}  // namespace

SpanSink::Metrics::Metrics(Registry& registry)
    : exported(
          registry.NewCounter("mezzo_observe_spans_exported_total", "Spans that the collector accepted.")),
      dropped_full(registry.NewCounter(kDropped, kDroppedHelp, {{"reason", "queue_full"}})),
      dropped_failed(registry.NewCounter(kDropped, kDroppedHelp, {{"reason", "export_failed"}})),
      dropped_stopped(registry.NewCounter(kDropped, kDroppedHelp, {{"reason", "stopped"}})),
      exports_ok(registry.NewCounter(kExports, kExportsHelp, {{"outcome", "ok"}})),
      exports_failed(registry.NewCounter(kExports, kExportsHelp, {{"outcome", "error"}})),
      export_seconds(
          registry.NewHistogram("mezzo_observe_span_export_seconds", "Time of one call to the collector.")) {}

SpanSink::SpanSink(Options options, const Clock& clock, SpanExporter* exporter, Registry& registry)
    : options_(std::move(options)),
      clock_(clock),
      exporter_(exporter),
      metrics_(registry),
      buffer_(options_.buffer),
      queued_gauge_(
          registry.NewCallbackGauge("mezzo_observe_spans_queued", "Spans waiting for export.", [this] {
            const MutexLock lock(mu_);
            return static_cast<double>(buffer_.size());
          })) {
  if (exporter_ != nullptr) thread_ = std::thread([this] { Run(); });
}

SpanSink::~SpanSink() { Stop(Duration::zero()); }

void SpanSink::Add(std::unique_ptr<Span> span) {
  if (exporter_ == nullptr) return;
  const TimePoint now = clock_.Now();
  const MutexLock lock(mu_);
  if (state_ != State::kRunning) {
    metrics_.dropped_stopped.Add();
    return;
  }
  const TimePoint before = buffer_.NextDue(false);
  if (!buffer_.Add(std::move(span), now)) {
    metrics_.dropped_full.Add();
  } else if (buffer_.NextDue(false) < before) {
    wake_.NotifyOne();
  }
}

bool SpanSink::Stop(Duration limit) {
  {
    const MutexLock lock(mu_);
    if (state_ == State::kRunning) {
      state_ = State::kStopping;
      stop_at_ = AddSaturating(clock_.Now(), limit);
    }
    wake_.NotifyOne();
  }
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(mu_);
  state_ = State::kStopped;
  const std::size_t left = buffer_.Clear();
  metrics_.dropped_stopped.Add(left);
  lost_in_stop_ += left;
  return lost_in_stop_ == 0;
}

bool SpanSink::MayContinue() const {
  if (state_ == State::kRunning) return true;
  return buffer_.size() > 0 && clock_.Now() < stop_at_;
}

void SpanSink::Run() {
  mu_.Lock();
  while (MayContinue()) {
    const TimePoint now = clock_.Now();
    const bool flush = state_ == State::kStopping;
    if (!buffer_.Begin(now, flush)) {
      wake_.WaitUntil(mu_, std::min(buffer_.NextDue(flush), stop_at_));
      continue;
    }
    const Duration timeout = std::min(options_.export_timeout, stop_at_ - now);
    const internal::SpanBuffer::Batch& batch = buffer_.batch();
    mu_.Unlock();
    const Result<void> result = ExportBatch(batch, timeout);
    mu_.Lock();
    const bool retry =
        !result.ok() && (result.error().IsRetryable() || result.error().code() == Code::kDeadlineExceeded);
    if (result.ok()) metrics_.exported.Add(batch.size());
    const std::size_t lost = buffer_.Finish(result.ok(), retry, clock_.Now());
    metrics_.dropped_failed.Add(lost);
    if (flush) lost_in_stop_ += lost;
  }
  mu_.Unlock();
}

Result<void> SpanSink::ExportBatch(const internal::SpanBuffer::Batch& batch, Duration timeout) {
  std::string body = internal::EncodeOtlp(batch, options_.service_name, options_.service_version);
  const TimePoint start = clock_.Now();
  Result<void> result = exporter_->Export(std::move(body), timeout);
  metrics_.export_seconds.Observe(clock_.Now() - start);
  (result.ok() ? metrics_.exports_ok : metrics_.exports_failed).Add();
  return result;
}

}  // namespace mezzo::observe
