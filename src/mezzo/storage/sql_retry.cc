#include "mezzo/storage/sql_retry.h"

#include <chrono>
#include <thread>
#include <utility>

#include "mezzo/runtime/retry.h"

namespace mezzo::storage {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxTries = 8;

}  // namespace

Result<void> RetrySql(const Clock& clock, TimePoint deadline, const std::function<SqlAttempt()>& attempt) {
  runtime::Backoff backoff({.first = milliseconds(2), .longest = milliseconds(200)});
  for (int tries = 1;; ++tries) {
    SqlAttempt last = attempt();
    const Duration pause = backoff.Next();
    if (!last.again || tries == kMaxTries || AddSaturating(clock.Now(), pause) >= deadline) {
      return std::move(last.result);
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace mezzo::storage
