#pragma once

#include <chrono>
#include <thread>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/jobs/queue_pruner.h"
#include "mezzo/observe/log.h"
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
  Housekeeper(Options options, Ports ports) : options_(options), ports_(ports) {}
  ~Housekeeper() { Stop(); }
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  void Start();
  /// Waits for the transaction that runs.
  void Stop() EXCLUDES(mu_);

 private:
  void Loop() EXCLUDES(mu_);
  void Synchronise();
  /// True when there may be more to do.
  bool Prune();

  const Options options_;
  const Ports ports_;
  Mutex mu_;
  CondVar end_;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace mezzo::jobs
