#include "mezzo/tenancy/shared_permits.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace mezzo::tenancy {
namespace {

constexpr Duration kAskEvery = std::chrono::milliseconds(250);
constexpr double kPeakSeconds = 2;
constexpr double kReserve = 1.25;
constexpr double kCreditPart = 0.25;
constexpr double kMostPermits = 1e11;

}  // namespace

void SharedPermits::Set(double limit) {
  limit_ = static_cast<std::int64_t>(std::floor(std::clamp(limit, 0.0, kMostPermits)));
}

SharedPermits::Check SharedPermits::Look(const SharingView& view, double running, double units) {
  const auto limit = static_cast<double>(limit_);
  const double free = answered_ ? static_cast<double>(std::min(free_, limit_)) : limit;
  const auto held = static_cast<double>(held_);
  double most = 0;
  if (view.mode == SharingMode::kShared) {
    const double credit = std::max(std::floor(free * kCreditPart), std::min(1.0, free));
    most = std::min(limit, held + credit);
    hungry_ = hungry_ || running + units > held;
  } else {
    const auto hosts = static_cast<double>(view.hosts > 0 ? view.hosts : SharedRate::kUnknownHosts);
    const double all = std::max(held, limit - free);
    const double share = answered_ && all > 0
                             ? (1 - SharedRate::kEven) * held / all + SharedRate::kEven / hosts
                             : SharedRate::kUnknownShare / hosts;
    most = std::min(limit, std::max(1.0, std::floor(limit * share)));
  }
  return {.refused = units > 0 && running + units > most,
          .remaining = std::max(
              0.0, std::min(limit, most + (view.mode == SharingMode::kShared ? free : 0)) - running - units)};
}

std::optional<storage::TokenStore::PermitRequest> SharedPermits::Ask(TimePoint now, const SharingView& view,
                                                                     const std::string& host,
                                                                     double running) {
  if (view.mode == SharingMode::kAlone) return std::nullopt;  // What is held is the share.
  if (now - asked_at_ < kAskEvery && !hungry_) return std::nullopt;
  const double passed = std::max(0.0, Seconds(now - asked_at_));
  peak_ = std::max({running, peak_ * std::exp(-passed / kPeakSeconds), hungry_ ? running + 1 : 0.0});
  if (peak_ < 1) peak_ = 0;
  hungry_ = false;
  asked_at_ = now;
  const double wanted = std::max(running, std::min(std::ceil(peak_ * kReserve), static_cast<double>(limit_)));
  if (wanted == 0 && held_ == 0) return std::nullopt;
  return storage::TokenStore::PermitRequest{
      .key = key_, .host = host, .hold = static_cast<std::int64_t>(wanted), .limit = limit_};
}

void SharedPermits::Answer(const storage::TokenStore::PermitGrant& grant, const SharingView& view) {
  // After an outage hosts come back one by one: what was last held stays the share meanwhile.
  if (view.mode != SharingMode::kShared) return;
  answered_ = true;
  held_ = grant.held;
  free_ = grant.free;
}

}  // namespace mezzo::tenancy
