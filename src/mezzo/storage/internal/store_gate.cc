#include "mezzo/storage/internal/store_gate.h"

#include <algorithm>

namespace mezzo::storage::internal {
namespace {

/// What a healthy store answers within; less time than this is not the store's fault.
constexpr Duration kPatience = std::chrono::seconds(2);

}  // namespace

bool IsStoreFailure(const Error& error) {
  switch (error.code()) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kOutOfRange:
    case Code::kCancelled:
      return false;
    default:
      // Refused credentials and a missing bucket too: what was made must not be lost because of them.
      return true;
  }
}

Result<StoreGate::Attempt> StoreGate::Enter(TimePoint deadline) {
  const TimePoint now = clock_.Now();
  const bool hurried = deadline - now < kPatience;
  MutexLock lock(mu_);
  switch (breaker_.Admit(now)) {
    case runtime::Breaker::Admission::kYes:
      return Attempt(this, false, hurried);
    case runtime::Breaker::Admission::kProbe:
      return Attempt(this, true, hurried);
    case runtime::Breaker::Admission::kNo:
      break;
  }
  const Duration wait = std::max<Duration>(std::chrono::milliseconds(100), breaker_.retry_at() - now);
  return Unavailable("blob_store_unavailable", "the object store has failed repeatedly and is given time")
      .WithRetryAfter(wait);
}

runtime::Breaker::State StoreGate::state() const {
  MutexLock lock(mu_);
  return breaker_.state();
}

void StoreGate::OnRun(bool ok, bool probe) {
  MutexLock lock(mu_);
  (void)breaker_.OnRun(ok, probe, clock_.Now());
  open_gauge_.Set(breaker_.state() == runtime::Breaker::State::kClosed ? 0 : 1);
}

void StoreGate::ProbeGone() {
  MutexLock lock(mu_);
  breaker_.OnProbeGone();
}

}  // namespace mezzo::storage::internal
