#pragma once

#include <array>

#include "mezzo/jobs/job_store.h"
#include "mezzo/observe/metrics.h"

namespace mezzo::jobs {

/// What a host's part of the queue counts. Thread-safe.
class JobMetrics {
 public:
  explicit JobMetrics(observe::Registry& registry);

  /// A run that ended; `held` false: its lease had been lost, so it did not count.
  void Ended(const RunEnd& end, bool held);
  void Swept(const JobStore::Swept& swept);

  observe::Gauge& running;
  observe::Gauge& prefetched;
  observe::Counter& claimed;
  observe::Counter& leases_lost;
  observe::Counter& store_failures;
  observe::Histogram& run_seconds;

 private:
  std::array<observe::Counter*, 6> ended_{};  // By RunEnd::Kind; the last: not held.
  std::array<observe::Counter*, 5> swept_{};
};

}  // namespace mezzo::jobs
