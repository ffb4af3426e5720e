#include "mezzo/sched/overload_control.h"

#include <algorithm>
#include <cmath>

namespace mezzo::sched {
namespace {

constexpr Duration kEpoch = std::chrono::milliseconds(250);
constexpr int kHotEpochs = 3;
constexpr int kCalmEpochs = 8;
constexpr double kSmooth = 0.3;       // Of averages over epochs.
constexpr double kRateSeconds = 1;    // Over which a flow's rate is averaged.
constexpr double kLongestLife = 4;    // Seconds in which the memory of a long run fades to 1/e.
constexpr double kFullSignal = 1.25;  // What a full queue counts for.
constexpr double kSteepness = 0.3;    // How fast the limit falls below what is served.
constexpr double kLeastFactor = 0.7;
constexpr double kProbe = 1.25;    // Growth of the limit beside an idle slot.
constexpr double kSlack = 1.05;    // Offered over allotted that is let through as chance.
constexpr double kLongRun = 1e18;  // Nanoseconds.
constexpr std::array<double, kClassCount> kClassTargets = {1, 2, 8};
constexpr Duration kLeastRetry = std::chrono::seconds(1);
constexpr Duration kMostRetry = std::chrono::seconds(15);

double Nanoseconds(Duration duration) { return static_cast<double>(duration.count()); }
Duration FromNanoseconds(double nanos) {
  return Duration(static_cast<std::int64_t>(std::clamp(nanos, 0.0, kLongRun)));
}

}  // namespace

void OverloadControl::Roll(TimePoint now) {
  if (epoch_start_ == TimePoint{}) epoch_start_ = now;
  const Duration elapsed = now - epoch_start_;
  if (elapsed < kEpoch) return;
  EndEpoch(Seconds(elapsed));
  epoch_start_ = now;
  delay_ = {};
  cost_ = {};
  started_ = fixed_ = 0;
  idled_ = full_ = shed_ = false;
  for (Group& group : groups_) group.offered = group.accepted = group.most = 0;
}

void OverloadControl::EndEpoch(double elapsed) {
  double signal = 0;
  bool any = false;
  for (std::size_t i = 0; i < kClassCount; ++i) {
    if (cost_.at(i) <= 0) continue;
    any = true;
    signal = std::max(signal, delay_.at(i) / cost_.at(i));
  }
  // Between the ends of long runs nothing starts and nothing is learned.
  if (!any && !idled_) signal = stats_.signal;
  if (full_) signal = std::max(signal, kFullSignal);
  if (idled_) signal = 0;
  stats_.signal = signal;

  const double served = started_ / elapsed;
  fixed_rate_ += kSmooth * (fixed_ / elapsed - fixed_rate_);
  for (Group& group : groups_) group.rate += kSmooth * (group.offered / elapsed - group.rate);
  if (stats_.limit <= 0) {
    served_ += kSmooth * (served - served_);
    hot_ = signal > 1 ? hot_ + 1 : 0;
    if (hot_ < kHotEpochs || served_ <= 0) return;
    stats_.limit = served_;
    ++stats_.overloads;
    calm_ = 0;
    // What came in while nobody was looking is what there is to divide.
    for (Group& group : groups_) group.rate = std::max(group.rate, group.offered / elapsed);
    Allot(elapsed);
    return;
  }
  calm_ = shed_ ? 0 : calm_ + 1;
  if (calm_ >= kCalmEpochs) {
    stats_.limit = 0;
    hot_ = 0;
    for (Group& group : groups_) group.fair = -1;
    return;
  }
  if (idled_) {
    stats_.limit *= kProbe;
  } else {
    if (any) served_ += kSmooth * (served - served_);
    stats_.limit =
        std::max(1.0, served_ * std::clamp(1 + kSteepness * (1 - signal), kLeastFactor, 1 + kSteepness));
  }
  Allot(elapsed);
}

void OverloadControl::Allot(double elapsed) {
  double left = stats_.limit - fixed_rate_;
  for (std::size_t i = kShedGroupCount; i-- > 0;) {
    Group& group = groups_.at(i);
    left = std::max(0.0, left);
    if (group.rate <= left * kSlack) {
      left -= group.rate;
      group.fair = -1;
      continue;
    }
    const double accepted = group.accepted / elapsed;
    if (group.fair > 0 && accepted > 0) {
      group.fair *= std::clamp(left / accepted, 0.5, 2.0);
    } else {
      group.fair = group.most * left / group.rate;
    }
    left = 0;
  }
}

bool OverloadControl::Admit(const Offer& offer, TimePoint now) {
  if (!options_.enabled) return true;
  Roll(now);
  const double cost = std::max(1.0, Nanoseconds(offer.cost));
  if (!offer.may_shed) {
    fixed_ += cost;
    return true;
  }
  Flow& flow = *offer.flow;
  Group& group = groups_.at(static_cast<std::size_t>(offer.group));
  if (flow.seen) {
    // The estimator of CSFQ: an exponential average by time, so that bursts and gaps count as what they are.
    const double gap = std::max(1e-6, Seconds(now - flow.last));
    const double kept = std::exp(-gap / kRateSeconds);
    flow.rate = (1 - kept) * cost / gap + kept * flow.rate;
  }
  flow.seen = true;
  flow.last = now;
  const double brings = flow.rate / offer.weight;
  group.offered += cost;
  group.most = std::max(group.most, brings);
  double part = 1;
  if (group.fair >= 0) part = brings > 0 ? std::min(1.0, group.fair / brings) : (group.fair > 0 ? 1 : 0);
  flow.credit = std::min(2.0, flow.credit + part);
  if (part <= 0 || (part < 1 && flow.credit < 1)) {
    shed_ = true;
    ++stats_.shed.at(offer.group == ShedGroup::kFree ? 0 : 1).at(static_cast<std::size_t>(offer.cls));
    return false;
  }
  flow.credit = std::max(0.0, flow.credit - 1);
  group.accepted += cost;
  return true;
}

Duration OverloadControl::Longest(TimePoint now) const {
  const double age = std::max(0.0, Seconds(now - longest_at_));
  return FromNanoseconds(Nanoseconds(longest_) * std::exp(-age / kLongestLife));
}

void OverloadControl::OnRun(Duration run, TimePoint now) {
  if (!options_.enabled || run < Longest(now)) return;
  longest_ = run;
  longest_at_ = now;
}

void OverloadControl::OnStart(Class cls, TimePoint enqueued, Duration run, Duration cost, TimePoint now) {
  if (!options_.enabled) return;
  Roll(now);
  const auto c = static_cast<std::size_t>(cls);
  const double fine = kClassTargets.at(c) * Nanoseconds(options_.target) +
                      options_.target_runs * Nanoseconds(run) + Nanoseconds(Longest(now));
  const double waited = std::max(0.0, Nanoseconds(now - std::max(enqueued, idle_)));
  const double weight = std::max(1.0, Nanoseconds(cost));
  delay_.at(c) += weight * waited / std::max(1.0, fine);
  cost_.at(c) += weight;
  started_ += weight;
}

void OverloadControl::OnIdle(TimePoint now) {
  if (!options_.enabled) return;
  Roll(now);
  idled_ = true;
  idle_ = now;
}

void OverloadControl::OnFull(TimePoint now) {
  if (!options_.enabled) return;
  Roll(now);
  full_ = true;
}

Duration OverloadControl::RetryAfter() {
  const Duration base =
      std::clamp(FromNanoseconds(stats_.signal * Nanoseconds(options_.target)), kLeastRetry, kMostRetry);
  constexpr double kGolden = 0.618033988749895;  // Spreads any number of answers evenly.
  const double spread = std::fmod(static_cast<double>(++answers_) * kGolden, 1.0);
  return base + FromNanoseconds(Nanoseconds(base) * spread);
}

}  // namespace mezzo::sched
