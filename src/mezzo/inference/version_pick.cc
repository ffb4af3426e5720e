#include "mezzo/inference/version_pick.h"

#include "mezzo/inference/call_fault.h"

namespace mezzo::inference {

using releases::ArmEnd;
using releases::ArmOutcome;

VersionPick::VersionPick(releases::LiveRouteRef route, releases::LiveRoute::Pick pick, const Clock& clock)
    : route_(std::move(route)), pick_(pick), clock_(&clock), started_(clock.Now()) {}

VersionPick::~VersionPick() {
  if (route_ != nullptr && !told_) End(ArmEnd::kUnjudged, {});
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
  if (route_ == nullptr || told_) return false;
  const Fault fault = FaultOf(error);
  // A bad request is refused alike by the stable version, unless this one's signature is another.
  const bool again = pick_.trial && fault != Fault::kCaller && route_->stable().resolved;
  const bool failed = fault == Fault::kVersion;
  if (!again) return false;
  End(failed ? ArmEnd::kFailed : ArmEnd::kUnjudged, {.failed = failed, .retried = true});
  fell_back_ = true;
  return true;
}

void VersionPick::Succeeded(Duration cost, bool kept) {
  if (route_ == nullptr || told_) return;
  End(ArmEnd::kOk, {.cost = Seconds(cost), .kept = kept});
}

void VersionPick::End(ArmEnd end, ArmOutcome outcome) {
  const TimePoint now = clock_->Now();
  outcome.latency = now - started_;
  route_->End(pick_, end, outcome, now);
  told_ = true;
}

}  // namespace mezzo::inference
