#pragma once

#include <cstddef>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/media/ladder.h"

namespace mezzo::app {

/// What videos give up now, by what waits in the queue for each slot of this host: q jobs for each slot are a
/// pressure of q / (q + 8), so that 19 are 0.7, 45 are 0.85 and 152 are 0.95. Thread-safe; blocks for the
/// database every two seconds at most.
class Pressure {
 public:
  /// All outlive this.
  Pressure(jobs::JobReader& reader, std::size_t slots, const Clock& clock)
      : reader_(reader), slots_(slots), clock_(clock) {}

  /// While the database does not answer, the level stays.
  media::DegradationLevel Level() EXCLUDES(mu_);

 private:
  jobs::JobReader& reader_;
  const std::size_t slots_;
  const Clock& clock_;
  Mutex mu_;
  media::DegradationLadder ladder_ GUARDED_BY(mu_){{}};
  TimePoint next_ GUARDED_BY(mu_){};
};

}  // namespace mezzo::app
