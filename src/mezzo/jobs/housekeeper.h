#pragma once

#include <chrono>

#include "mezzo/base/clock.h"
#include "mezzo/jobs/queue_pruner.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/storage/shared_clock.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// A thread that prunes every hour (and goes on while there is more), and sets the shared clock every minute.
/// Failures are logged and tried again the next time.
class Housekeeper {
 public:
  struct Options {
    Duration clock_period = std::chrono::minutes(1);
    Duration prune_period = std::chrono::hours(1);
  };
  /// All outlive the housekeeper.
  struct Ports {
    QueuePruner& pruner;
    storage::SharedClock& clock;
    storage::SqlDb& db;
    observe::Logger& log;
  };
  Housekeeper(Options options, Ports ports);

  void Start() { thread_.Start(); }
  /// Waits for the transaction that runs.
  void Stop() { thread_.Stop(); }

 private:
  runtime::PeriodicThread::Pause Round();
  void Synchronise();
  /// True when there may be more to do.
  bool Prune();

  const Options options_;
  const Ports ports_;
  TimePoint next_prune_{};          // The thread's.
  runtime::PeriodicThread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::jobs
