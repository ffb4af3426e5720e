#include "mezzo/jobs/retry_policy.h"

#include <algorithm>
#include <cmath>

namespace mezzo::jobs {

RetryPolicy::Verdict RetryPolicy::OnError(const Error& error, std::int64_t errors, double random) const {
  if (!error.IsRetryable() || errors >= max_retries) return {};
  const double scale = std::exp2(static_cast<double>(errors)) * (1 + jitter * (2 * random - 1));
  Duration delay = FromSeconds(Seconds(first_delay) * scale);
  if (error.retry_after() && *error.retry_after() > delay) delay = *error.retry_after();
  return {.retry = true, .delay = std::min(delay, longest_delay)};
}

}  // namespace mezzo::jobs
