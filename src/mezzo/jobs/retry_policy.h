#pragma once

#include <cstdint>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::jobs {

/// What becomes of a job whose run ended without a result. Two budgets apart: retries are for faults that can
/// pass; crashes (the host vanished while it ran the job) end in quarantine, so that a job which kills its
/// hosts can't go round for ever. Pure; thread-safe.
struct RetryPolicy {
  std::int64_t max_retries = 3;
  Duration first_delay = std::chrono::seconds(1);    ///< Doubles with each retry.
  Duration longest_delay = std::chrono::minutes(5);  ///< Also when the fault names a later time.
  double jitter = 0.2;                               ///< A delay is scaled by 1 ± this.
  std::int64_t max_crashes = 2;

  struct Verdict {
    bool retry = false;
    Duration delay = {};
  };
  /// Of a run that failed with `error`, when `errors` runs had failed before. `random` is uniform in [0, 1).
  [[nodiscard]] Verdict OnError(const Error& error, std::int64_t errors, double random) const;
  /// Whether a job may run again after its `crashes`-th crash.
  [[nodiscard]] bool MayRunAgain(std::int64_t crashes) const { return crashes < max_crashes; }
};

}  // namespace mezzo::jobs
