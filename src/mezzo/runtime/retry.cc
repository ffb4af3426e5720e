#include "mezzo/runtime/retry.h"

#include <algorithm>

#include "mezzo/base/uuid.h"

namespace mezzo::runtime {

Duration Backoff::Next() {
  const Duration ceiling = std::min(ceiling_, longest_);
  ceiling_ = std::min(ceiling_ * 2, longest_);
  if (ceiling <= Duration::zero()) return Duration::zero();
  return Duration(
      static_cast<std::int64_t>(RandomUint64() % (static_cast<std::uint64_t>(ceiling.count()) + 1)));
}

void RetryBudget::OnCall() {
  MutexLock lock(mu_);
  tokens_ = std::min(options_.max_tokens, tokens_ + options_.per_call);
}

bool RetryBudget::TryRetry() {
  MutexLock lock(mu_);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

}  // namespace mezzo::runtime
