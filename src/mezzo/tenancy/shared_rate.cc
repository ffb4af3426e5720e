#include "mezzo/tenancy/shared_rate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "mezzo/storage/gcra.h"

namespace mezzo::tenancy {
namespace {

constexpr double kDemandSeconds = 0.1;
constexpr double kUseSeconds = 2;
constexpr double kQuietSeconds = 5;
constexpr double kLongestSeconds = 1e9;  // What times saturate at: about 30 years.
constexpr double kExact = 1e-9;          // Sums of fractions of tokens are that exact.
constexpr double kMostTokens = 1e11;     // Asked for at once.
/// Announcements before a part is believed: others must have seen it, too.
constexpr int kBelieved = 3;
/// Use is announced in these parts of the rate.
constexpr double kUseScale = 1e6;
constexpr std::int64_t kMostUse = 1'000'000'000;
constexpr std::int64_t kUseLimit = 1'000'000'000'000;

Duration Time(double seconds) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, kLongestSeconds)));
}

constexpr double kLowestRate = 1e-9;
constexpr double kHighestRate = 1e12;

/// Of a rate within the bounds: whole tokens that a TokenStore counts.
double StoreBurst(double rate, double burst) {
  const auto longest = storage::GcraLimit::kMaxSpan / std::ceil(storage::GcraLimit::kTicksPerSecond / rate);
  const double whole = std::round(std::max(burst, rate * SharedRate::kShortestBurst));
  return std::max(1.0, std::floor(std::min({whole, longest, kMostTokens})));
}

}  // namespace

void SharedRate::Set(double rate, double burst) {
  rate_ = std::clamp(rate, kLowestRate, kHighestRate);
  burst_ = StoreBurst(rate_, burst);
}

double SharedRate::cap() const { return std::max(1.0, burst_ * share_); }

double SharedRate::Presumed(TimePoint now) const {
  if (!answered_) return burst_;
  return std::min(burst_, left_ + rate_ * std::max(0.0, Seconds(now - answered_at_)));
}

double SharedRate::ShareNow(const SharingView& view) const {
  const auto hosts = static_cast<double>(view.hosts > 0 ? view.hosts : kUnknownHosts);
  if (announcements_ == 0) return kUnknownShare / hosts;
  if (announcements_ < kBelieved) return 1 / hosts;
  return (1 - kEven) * part_ + kEven / hosts;
}

void SharedRate::Sync(TimePoint now, const SharingView& view) {
  if (mode_ != view.mode) {
    const TimePoint since = std::clamp(view.since, std::min(filled_at_, now), now);
    if (mode_ == SharingMode::kShared) {
      share_ = ShareNow(view);
      balance_ = std::min(balance_ + Presumed(since) * share_, cap());
      filled_at_ = since;
      charge_ = 0;
    }
    if (view.mode == SharingMode::kShared) {
      // What is left of the share lies in the store.
      balance_ = std::min(balance_, 0.0);
      charge_ = 0;
    } else if (view.mode == SharingMode::kReturning) {
      charge_ = std::max(0.0, cap() - balance_);
      answered_ = true;
      left_ = 0;
      answered_at_ = now;
    }
    mode_ = view.mode;
  }
  if (mode_ == SharingMode::kShared) return;
  const double gained = rate_ * share_ * std::max(0.0, Seconds(now - filled_at_));
  filled_at_ = std::max(filled_at_, now);
  if (balance_ < cap()) balance_ = std::min(cap(), balance_ + gained);
}

SharedRate::Check SharedRate::Look(TimePoint now, const SharingView& view, double units) {
  Sync(now, view);
  touched_at_ = now;
  const bool alone = mode_ != SharingMode::kShared;
  const double most = alone ? cap() : burst_;
  const double need = std::min(units, most);
  const double credit = alone ? 0 : Presumed(now);
  constexpr double kCreditPart = 0.25;
  const bool passes = balance_ - units >= -credit * kCreditPart - kExact ||
                      (balance_ >= -kExact && need <= balance_ + credit + kExact);
  const double rate = alone ? rate_ * share_ : rate_;
  const double there = std::min(most, balance_ + credit);
  Check check{.refused = !passes};
  if (passes) {
    check.remaining = std::max(0.0, there - units);
    check.reset = Time((most - there + units) / rate);
    return check;
  }
  asked_ += units;
  largest_refused_ = std::max(largest_refused_, need);
  hungry_ = hungry_ || (!alone && there >= need);
  // At least until the next round may have come.
  constexpr double kSoonest = 0.001;
  check.reset = Time(std::max(kSoonest, (need - there) / rate));
  return check;
}

void SharedRate::Take(double units) {
  balance_ -= units;
  asked_ = std::max(0.0, asked_ + units);
  taken_ += units;
  if (mode_ == SharingMode::kReturning) charge_ = std::max(0.0, charge_ + units);
  hungry_ = hungry_ || (mode_ == SharingMode::kShared && balance_ < 0);
}

void SharedRate::Measure(TimePoint now) {
  if (!measured_) {
    measured_ = true;
    measured_at_ = now;
    return;
  }
  const double passed = Seconds(now - measured_at_);
  if (passed <= 0) return;
  const auto follow = [passed](double average, double seconds, double value) {
    return average + (1 - std::exp(-passed / seconds)) * (value - average);
  };
  demand_ = follow(demand_, kDemandSeconds, asked_ / passed);
  use_ = std::max(0.0, follow(use_, kUseSeconds, taken_ / passed));
  gap_ = follow(gap_, kDemandSeconds, passed);
  asked_ = 0;
  taken_ = 0;
  measured_at_ = now;
}

std::optional<storage::TokenStore::TokenRequest> SharedRate::Ask(TimePoint now, const SharingView& view) {
  Sync(now, view);
  Measure(now);
  hungry_ = false;
  storage::TokenStore::TokenRequest request{
      .key = key_, .per_second = rate_, .burst = static_cast<std::int64_t>(burst_)};
  if (mode_ == SharingMode::kAlone) return std::nullopt;
  if (mode_ == SharingMode::kReturning) {
    charge_ = std::min(charge_, burst_);
    request.want = static_cast<std::int64_t>(std::floor(charge_));
    if (request.want <= 0) return std::nullopt;
    return request;
  }
  constexpr double kShortestGap = 0.02;
  constexpr double kLongestGap = 0.5;
  constexpr double kGaps = 2;
  const double horizon = kGaps * std::clamp(gap_, kShortestGap, kLongestGap);
  double target = std::floor(std::min({std::min(demand_, rate_) * horizon, burst_, kMostTokens}));
  const double usual = target;
  target = std::max(target, std::min(std::exchange(largest_refused_, 0.0), burst_));
  if (balance_ < target - kExact) {
    request.want = static_cast<std::int64_t>(std::ceil(std::min(target - balance_, kMostTokens) - kExact));
  } else if (target == usual && balance_ >= 2 * usual + 1) {
    request.want = -static_cast<std::int64_t>(std::floor(std::min(balance_ - usual, kMostTokens)));
  }
  if (request.want == 0) return std::nullopt;
  // Given back before it is sent: what could be used twice must not be.
  if (request.want < 0) balance_ += static_cast<double>(request.want);
  return request;
}

void SharedRate::Answer(TimePoint now, std::int64_t wanted, const storage::TokenStore::TokenGrant& grant) {
  answered_ = true;
  left_ = static_cast<double>(grant.left);
  answered_at_ = now;
  if (wanted <= 0) return;
  if (mode_ == SharingMode::kReturning) {
    charge_ = std::max(0.0, charge_ - static_cast<double>(grant.granted));
  } else {
    balance_ += static_cast<double>(grant.granted);
  }
}

storage::TokenStore::PermitRequest SharedRate::Announce(TimePoint now, const std::string& host) {
  Measure(now);
  const double use = std::min(std::round(use_ / rate_ * kUseScale), static_cast<double>(kMostUse));
  return {.key = key_ + ":use",
          .host = host,
          .hold = std::max<std::int64_t>(1, static_cast<std::int64_t>(use)),
          .limit = kUseLimit};
}

void SharedRate::Announced(std::int64_t held, const storage::TokenStore::PermitGrant& grant,
                           const SharingView& view) {
  // After an outage the others' announcements come back one by one: what was last known holds meanwhile.
  if (view.mode != SharingMode::kShared) return;
  const std::int64_t all = std::max(held, kUseLimit - grant.free);
  part_ = static_cast<double>(held) / static_cast<double>(std::max<std::int64_t>(1, all));
  announcements_ = std::min(announcements_ + 1, kBelieved);
}

bool SharedRate::IsQuiet(TimePoint now) const {
  return Seconds(now - touched_at_) > kQuietSeconds && balance_ >= 0 && balance_ < 1 &&
         mode_ == SharingMode::kShared && !hungry_;
}

bool SharedRate::IsFull(TimePoint now) const { return balance_ >= 0 && Presumed(now) >= burst_; }

}  // namespace mezzo::tenancy
