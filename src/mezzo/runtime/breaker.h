#pragma once

#include <cstdint>

#include "mezzo/base/clock.h"

namespace mezzo::runtime {

/// Stops sending work to what keeps failing: a model, a store, an endpoint.
///
/// closed → open: too many failures in a row, too high a failure rate, or a hang.
/// open → half-open: the cool-down has passed and somebody asks; that one item is the probe.
/// half-open → closed: the probe succeeded. half-open → open: it failed or hung; the cool-down doubles, up to
/// the cap. Not thread-safe.
class Breaker {
 public:
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };
  enum class Admission : std::uint8_t { kYes, kProbe, kNo };
  struct Options {
    std::uint32_t consecutive_failures = 5;  ///< 0: never opens by counting.
    double failure_rate = 0.5;               ///< Of recent runs, weighted towards the newest; above 1: never.
    std::uint32_t min_runs = 20;             ///< Before the rate counts.
    Duration first_cooldown = std::chrono::seconds(1);
    Duration max_cooldown = std::chrono::seconds(60);
    std::uint32_t forgive_after = 20;  ///< Successes in a row after which the cool-down starts small again.
  };

  explicit Breaker(Options options) : options_(options) {}

  /// Whether new work may come in. After kProbe, exactly one of OnRun(), OnHang() and OnProbeGone() must
  /// follow.
  Admission Admit(TimePoint now);
  /// A run ended. Returns true when this opened the breaker.
  bool OnRun(bool ok, bool probe, TimePoint now);
  /// A run is far overdue. Returns true when this opened the breaker.
  bool OnHang(TimePoint now);
  /// The probe left without running.
  void OnProbeGone();
  void SetOptions(Options options) { options_ = options; }

  [[nodiscard]] State state() const { return state_; }
  /// When an open breaker lets a probe through.
  [[nodiscard]] TimePoint retry_at() const { return retry_at_; }
  [[nodiscard]] std::uint64_t times_opened() const { return times_opened_; }

 private:
  void Open(TimePoint now);

  Options options_;
  State state_ = State::kClosed;
  bool probe_out_ = false;
  std::uint32_t failures_in_row_ = 0;
  std::uint32_t successes_in_row_ = 0;
  std::uint32_t runs_ = 0;
  std::uint32_t level_ = 0;
  double failure_rate_ = 0;
  TimePoint retry_at_{};
  std::uint64_t times_opened_ = 0;
};

}  // namespace mezzo::runtime
