#include "mezzo/app/pressure.h"

#include <chrono>

namespace mezzo::app {
namespace {

constexpr Duration kPeriod = std::chrono::seconds(2);
constexpr Duration kQueryTime = std::chrono::seconds(1);
constexpr std::size_t kCounted = 10'000;  // Of each lane; more changes nothing.
constexpr double kHalf = 8;               // Waiting jobs for each slot that are a pressure of a half.

}  // namespace

media::DegradationLevel Pressure::Level() {
  const TimePoint now = clock_.Now();
  {
    MutexLock lock(mu_);
    if (now < next_) return ladder_.level();
    next_ = now + kPeriod;
  }
  const auto depths = reader_.Depths(kCounted, now + kQueryTime);
  MutexLock lock(mu_);
  if (!depths.ok()) return ladder_.level();
  std::size_t queued = 0;
  for (const auto& depth : *depths) queued += depth.queued;
  const double each = static_cast<double>(queued) / static_cast<double>(slots_);
  return ladder_.Update(each / (each + kHalf), now);
}

}  // namespace mezzo::app
