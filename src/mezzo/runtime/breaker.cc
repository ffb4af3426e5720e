#include "mezzo/runtime/breaker.h"

#include <algorithm>

namespace mezzo::runtime {
namespace {

constexpr double kRateGain = 0.1;  // The last ~10 runs make the failure rate.
constexpr std::uint32_t kMaxLevel = 30;

}  // namespace

Breaker::Admission Breaker::Admit(TimePoint now) {
  if (state_ == State::kClosed) return Admission::kYes;
  if (state_ == State::kOpen && now >= retry_at_) state_ = State::kHalfOpen;
  if (state_ == State::kOpen || probe_out_) return Admission::kNo;
  probe_out_ = true;
  return Admission::kProbe;
}

bool Breaker::OnRun(bool ok, bool probe, TimePoint now) {
  if (probe) probe_out_ = false;
  if (state_ == State::kHalfOpen && probe) {
    if (!ok) {
      Open(now);
      return true;
    }
    state_ = State::kClosed;
    failures_in_row_ = 0;
    successes_in_row_ = 1;
    runs_ = 0;
    failure_rate_ = 0;
    return false;
  }
  // Runs that began before the breaker opened say nothing about now.
  if (state_ != State::kClosed) return false;

  ++runs_;
  failure_rate_ += kRateGain * ((ok ? 0.0 : 1.0) - failure_rate_);
  if (ok) {
    failures_in_row_ = 0;
    if (++successes_in_row_ >= options_.forgive_after) level_ = 0;
    return false;
  }
  successes_in_row_ = 0;
  ++failures_in_row_;
  const bool in_a_row =
      options_.consecutive_failures > 0 && failures_in_row_ >= options_.consecutive_failures;
  const bool rate = runs_ >= options_.min_runs && failure_rate_ >= options_.failure_rate;
  if (!in_a_row && !rate) return false;
  Open(now);
  return true;
}

bool Breaker::OnHang(TimePoint now) {
  if (state_ == State::kOpen) return false;
  Open(now);
  return true;
}

void Breaker::OnProbeGone() { probe_out_ = false; }

void Breaker::Open(TimePoint now) {
  Duration cooldown = std::max(Duration(1), options_.first_cooldown);
  for (std::uint32_t i = 0; i < level_ && cooldown < options_.max_cooldown; ++i) cooldown *= 2;
  cooldown = std::min(cooldown, options_.max_cooldown);
  level_ = std::min(level_ + 1, kMaxLevel);
  state_ = State::kOpen;
  retry_at_ = AddSaturating(now, cooldown);
  probe_out_ = false;
  successes_in_row_ = 0;
  failures_in_row_ = 0;
  ++times_opened_;
}

}  // namespace mezzo::runtime
