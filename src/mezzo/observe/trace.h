#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/trace_context.h"

namespace mezzo::observe {

/// Which calls are traced; for the whole server or one model.
struct TraceSettings {
  static constexpr std::uint64_t kUnlimited = UINT64_MAX;

  bool enabled = false;                  ///< False: nothing is traced, whatever a caller's traceparent says.
  bool follow_parent = true;             ///< A call that comes with a trace does as its parent did.
  double ratio = 1.0;                    ///< Share of the other calls, 0 to 1, chosen by trace id.
  std::uint64_t remaining = kUnlimited;  ///< Traces left to take; stops at 0.

  friend bool operator==(const TraceSettings&, const TraceSettings&) = default;
};

/// Decides per call. Thread-safe; while no model has settings of its own, a decision takes no lock.
class Sampler {
 public:
  explicit Sampler(TraceSettings settings = {});

  /// `parent` may be null. Spends one of `remaining` when it says yes.
  [[nodiscard]] bool ShouldSample(const TraceContext* parent, const TraceId& id, std::string_view model)
      EXCLUDES(mu_);

  /// False when no call can be sampled now, so that none needs a decision.
  [[nodiscard]] bool active() const {
    return server_.enabled.load(std::memory_order_relaxed) || has_models_.load(std::memory_order_relaxed);
  }

  /// Fails with "invalid_trace_ratio" unless the ratio is within 0 to 1.
  Result<void> Set(const TraceSettings& settings) EXCLUDES(mu_);
  Result<void> SetModel(std::string_view model, const TraceSettings& settings) EXCLUDES(mu_);
  /// The model follows the server's settings again.
  void ClearModel(std::string_view model) EXCLUDES(mu_);
  /// What holds for the model (empty: the server), with what remains now.
  [[nodiscard]] TraceSettings Get(std::string_view model = {}) const EXCLUDES(mu_);

 private:
  /// Settings that calls read while others change them. Each field stands alone: a call that runs beside a
  /// change may see a mix, and is sampled or not.
  struct Rule {
    std::atomic<bool> enabled{false};
    std::atomic<bool> follow_parent{true};
    std::atomic<std::uint64_t> threshold{0};
    std::atomic<std::uint64_t> remaining{TraceSettings::kUnlimited};
    std::atomic<double> ratio{0};

    void Store(const TraceSettings& settings);
    [[nodiscard]] TraceSettings Load() const;
    bool Decide(const TraceContext* parent, const TraceId& id);
  };

  Rule server_;
  mutable Mutex mu_;
  std::map<std::string, Rule, std::less<>> models_ GUARDED_BY(mu_);
  std::atomic<bool> has_models_{false};  // Whether models_ is worth the lock; written under mu_.
};

enum class SpanKind : std::uint8_t { kInternal = 1, kServer = 2, kClient = 3 };  // Numbers of OTLP.

/// One timed operation of a sampled call. A value: one owner at a time, no lock. Everything is bounded; what
/// does not fit is counted.
class Span {
 public:
  static constexpr std::size_t kMaxAttributes = 32;
  static constexpr std::size_t kMaxStages = 16;
  static constexpr std::size_t kMaxTextBytes = 256;

  using Value = std::variant<std::string, std::int64_t, double, bool>;
  struct Attribute {
    std::string key;
    Value value;
  };
  /// A part of the operation; exported as a child span.
  struct Stage {
    std::string name;
    WallTime start;
    WallTime end;
  };

  Span(std::string_view name, SpanKind kind, TraceContext context, SpanId parent, WallTime start);

  void Set(std::string_view key, std::string_view text);
  void Set(std::string_view key, const char* text) { Set(key, std::string_view(text)); }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void Set(std::string_view key, T value) {
    if constexpr (std::is_same_v<T, bool>) {
      SetValue(key, value);
    } else if constexpr (std::is_integral_v<T>) {
      SetValue(key, static_cast<std::int64_t>(value));
    } else {
      SetValue(key, static_cast<double>(value));
    }
  }
  void AddStage(std::string_view name, WallTime start, WallTime end);
  /// Marks the span as failed. Without it, End() marks it as fine.
  void Fail(std::string_view message);
  void End(WallTime end) { end_ = end; }

  /// What an outgoing call passes on as its parent.
  [[nodiscard]] const TraceContext& context() const { return context_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] SpanKind kind() const { return kind_; }
  [[nodiscard]] const SpanId& parent() const { return parent_; }
  [[nodiscard]] WallTime start() const { return start_; }
  [[nodiscard]] WallTime end() const { return end_; }
  [[nodiscard]] const std::optional<std::string>& failure() const { return failure_; }
  [[nodiscard]] const std::vector<Attribute>& attributes() const { return attributes_; }
  [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
  [[nodiscard]] std::uint32_t dropped_attributes() const { return dropped_attributes_; }

 private:
  void SetValue(std::string_view key, Value value);

  std::string name_;
  SpanKind kind_;
  TraceContext context_;
  SpanId parent_;
  WallTime start_;
  WallTime end_;
  std::optional<std::string> failure_;
  std::vector<Attribute> attributes_;
  std::vector<Stage> stages_;
  std::uint32_t dropped_attributes_ = 0;
};

class SpanSink;

/// Starts and ends spans. Thread-safe.
class Tracer {
 public:
  /// All must outlive the tracer.
  Tracer(const Clock& clock, Sampler& sampler, SpanSink& sink)
      : clock_(clock), sampler_(sampler), sink_(sink) {}

  /// Null, without allocating, when the call is not sampled. `parent` is null when the caller sent no
  /// traceparent.
  [[nodiscard]] std::unique_ptr<Span> Start(std::string_view name, SpanKind kind, const TraceContext* parent,
                                            std::string_view model) const;
  /// Stamps the end and hands the span to the sink. Null is fine.
  void Finish(std::unique_ptr<Span> span) const;

 private:
  const Clock& clock_;
  Sampler& sampler_;
  SpanSink& sink_;
};

}  // namespace mezzo::observe
