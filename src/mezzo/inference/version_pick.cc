#include "mezzo/inference/version_pick.h"

#include "mezzo/inference/call_fault.h"

namespace mezzo::inference {

using releases::ArmEnd;
using releases::ArmOutcome;

VersionPick::VersionPick(releases::LiveRouteRef route, releases::LiveRoute::Pick pick, const Clock& clock)
    : route_(std::move(route)), pick_(pick), clock_(&clock), started_(clock.Now()) {}

VersionPick::~VersionPick() {
  if (route_ != nullptr && !told_) End(ArmEnd::kUnjudged, {}, std::nullopt);
}

const std::string& VersionPick::version() const {
  static const std::string kNewest;
  if (route_ == nullptr) return kNewest;
  const releases::RouteTarget& target = fell_back_ ? route_->stable() : route_->target(pick_);
  return target.resolved ? target.version : target.named;  // "@gone" is no version that there is.
}

std::string VersionPick::stamp() const {
  if (route_ == nullptr) return {};
  return route_->stamp(fell_back_ ? route_->table().stable() : pick_.target);
}

bool VersionPick::FallBack(const Error& error) {
  if (route_ == nullptr || told_ || fell_back_) return false;
  const Fault fault = FaultOf(error);
  if (!trial()) {
    if (fault == Fault::kVersion) End(ArmEnd::kFailed, {.failed = true}, std::nullopt);
    return false;
  }
  if (fault == Fault::kCaller) return false;
  fell_back_ = true;
  // A bad request is refused alike by the stable version, unless this one's signature is another.
  either_ = fault == Fault::kEither;
  if (either_) return true;
  const bool failed = fault == Fault::kVersion;
  End(failed ? ArmEnd::kFailed : ArmEnd::kUnjudged, {.failed = failed, .retried = true}, std::nullopt);
  return true;
}

bool VersionPick::FallBackLate() {
  if (told_ || fell_back_ || !trial()) return false;
  fell_back_ = true;
  End(ArmEnd::kLate, {.failed = true, .retried = true, .late = true}, std::nullopt);
  return true;
}

void VersionPick::Succeeded(Duration cost, bool kept, std::optional<Duration> latency) {
  if (route_ == nullptr || told_) return;
  if (either_) return End(ArmEnd::kFailed, {.failed = true, .retried = true}, std::nullopt);
  End(ArmEnd::kOk, {.cost = Seconds(cost), .kept = kept}, latency);
}

void VersionPick::End(ArmEnd end, ArmOutcome outcome, std::optional<Duration> latency) {
  const TimePoint now = clock_->Now();
  outcome.latency = latency.value_or(now - started_);
  route_->End(pick_, end, outcome, now);
  told_ = true;
}

}  // namespace mezzo::inference
