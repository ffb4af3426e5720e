#include "mezzo/observe/trace.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/utf8.h"
#include "mezzo/observe/span_sink.h"

namespace mezzo::observe {
namespace {

constexpr std::uint64_t kThresholdOne = std::uint64_t{1} << 56;

Result<void> CheckSettings(const TraceSettings& settings) {
  if (settings.ratio >= 0 && settings.ratio <= 1) return {};
  return InvalidArgument("invalid_trace_ratio",
                         "trace ratio must be within 0 and 1, is " + std::to_string(settings.ratio));
}

/// The 56 bits that W3C level 2 promises to be random.
std::uint64_t RandomBits(const TraceId& id) {
  std::uint64_t bits = 0;
  for (std::size_t i = 9; i < id.bytes.size(); ++i) bits = bits << 8U | id.bytes[i];
  return bits;
}

}  // namespace

void Sampler::Rule::Store(const TraceSettings& settings) {
  ratio.store(settings.ratio, std::memory_order_relaxed);
  threshold.store(static_cast<std::uint64_t>(settings.ratio * static_cast<double>(kThresholdOne)),
                  std::memory_order_relaxed);
  follow_parent.store(settings.follow_parent, std::memory_order_relaxed);
  remaining.store(settings.remaining, std::memory_order_relaxed);
  enabled.store(settings.enabled, std::memory_order_relaxed);
}

TraceSettings Sampler::Rule::Load() const {
  return {.enabled = enabled.load(std::memory_order_relaxed),
          .follow_parent = follow_parent.load(std::memory_order_relaxed),
          .ratio = ratio.load(std::memory_order_relaxed),
          .remaining = remaining.load(std::memory_order_relaxed)};
}

bool Sampler::Rule::Decide(const TraceContext* parent, const TraceId& id) {
  if (!enabled.load(std::memory_order_relaxed)) return false;
  const bool wanted = parent != nullptr && follow_parent.load(std::memory_order_relaxed)
                          ? parent->sampled
                          : RandomBits(id) < threshold.load(std::memory_order_relaxed);
  if (!wanted) return false;
  std::uint64_t left = remaining.load(std::memory_order_relaxed);
  while (left != TraceSettings::kUnlimited) {
    if (left == 0) return false;
    if (remaining.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) break;
  }
  return true;
}

Sampler::Sampler(TraceSettings settings) { server_.Store(settings); }

bool Sampler::ShouldSample(const TraceContext* parent, const TraceId& id, std::string_view model) {
  if (has_models_.load(std::memory_order_relaxed)) {
    const MutexLock lock(mu_);
    if (const auto found = models_.find(model); found != models_.end())
      return found->second.Decide(parent, id);
  }
  return server_.Decide(parent, id);
}

Result<void> Sampler::Set(const TraceSettings& settings) {
  MEZZO_TRY_VOID(CheckSettings(settings));
  server_.Store(settings);
  return {};
}

Result<void> Sampler::SetModel(std::string_view model, const TraceSettings& settings) {
  MEZZO_TRY_VOID(CheckSettings(settings));
  const MutexLock lock(mu_);
  models_.try_emplace(std::string(model)).first->second.Store(settings);
  has_models_.store(true, std::memory_order_relaxed);
  return {};
}

void Sampler::ClearModel(std::string_view model) {
  const MutexLock lock(mu_);
  if (const auto found = models_.find(model); found != models_.end()) models_.erase(found);
  has_models_.store(!models_.empty(), std::memory_order_relaxed);
}

TraceSettings Sampler::Get(std::string_view model) const {
  const MutexLock lock(mu_);
  const auto found = models_.find(model);
  return found != models_.end() ? found->second.Load() : server_.Load();
}

Span::Span(std::string_view name, SpanKind kind, TraceContext context, SpanId parent, WallTime start)
    : name_(ToUtf8(name, kMaxTextBytes)),
      kind_(kind),
      context_(std::move(context)),
      parent_(parent),
      start_(start),
      end_(start) {}

void Span::Set(std::string_view key, std::string_view text) { SetValue(key, ToUtf8(text, kMaxTextBytes)); }

void Span::SetValue(std::string_view key, Value value) {
  const auto found = std::ranges::find(attributes_, key, &Attribute::key);
  if (found != attributes_.end()) {
    found->value = std::move(value);
  } else if (attributes_.size() < kMaxAttributes) {
    attributes_.push_back({.key = std::string(key), .value = std::move(value)});
  } else {
    ++dropped_attributes_;
  }
}

void Span::AddStage(std::string_view name, WallTime start, WallTime end) {
  if (stages_.size() < kMaxStages) stages_.push_back({.name = std::string(name), .start = start, .end = end});
}

void Span::Fail(std::string_view message) { failure_ = ToUtf8(message, kMaxTextBytes); }

std::unique_ptr<Span> Tracer::Start(std::string_view name, SpanKind kind, const TraceContext* parent,
                                    std::string_view model) const {
  if (!sampler_.active()) return nullptr;
  const TraceId id = parent != nullptr ? parent->trace_id : NewTraceId();
  if (!sampler_.ShouldSample(parent, id, model)) return nullptr;
  TraceContext context{.trace_id = id, .span_id = NewSpanId(), .sampled = true, .trace_state = {}};
  if (parent != nullptr) context.trace_state = parent->trace_state;
  return std::make_unique<Span>(name, kind, std::move(context),
                                parent != nullptr ? parent->span_id : SpanId{}, clock_.WallNow());
}

void Tracer::Finish(std::unique_ptr<Span> span) const {
  if (span == nullptr) return;
  span->End(clock_.WallNow());
  sink_.Add(std::move(span));
}

}  // namespace mezzo::observe
