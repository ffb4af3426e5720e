#pragma once

#include <functional>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::storage {

/// How one try of a transaction ended.
struct SqlAttempt {
  Result<void> result;
  bool again = false;  ///< Nothing was committed, and another try may succeed.
};

/// Calls `attempt` up to eight times, until it succeeds or can't, with pauses of runtime::Backoff from 2 to
/// 200 ms. No pause ends after `deadline`. Returns the last result. `clock` must be real: the pauses are
/// slept.
Result<void> RetrySql(const Clock& clock, TimePoint deadline, const std::function<SqlAttempt()>& attempt);

}  // namespace mezzo::storage
