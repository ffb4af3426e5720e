#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/failure_log.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/releases/release_driver.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::releases {

/// A thread that drives releases once a second, and at once when one has changed. Failures are logged when
/// they begin and when they end. Every host has one. Thread-safe.
class ReleaseController {
 public:
  struct Options {
    Duration period = std::chrono::seconds(1);
    Duration least_pause = std::chrono::milliseconds(200);  ///< Between rounds, however much changes.
    Duration limit = std::chrono::seconds(10);              ///< Of a round.
    Duration prune_period = std::chrono::minutes(5);
    Duration prune_older = std::chrono::hours(1);  ///< As ReleaseRows::Prune() has it.
    ReleaseDriver::Options driver;
  };
  /// All outlive the controller.
  struct Ports {
    ReleaseDriver::Ports driver;
    storage::SqlDb* db = nullptr;  ///< Tells of changes; null: only the period finds them.
    observe::Registry& registry;
    observe::Logger& log;
  };
  ReleaseController(const Options& options, const Ports& ports, std::string host);
  ~ReleaseController() { Stop(); }
  ReleaseController(const ReleaseController&) = delete;
  ReleaseController& operator=(const ReleaseController&) = delete;

  void Start();
  /// Waits for the round that runs. Idempotent.
  void Stop();

 private:
  runtime::PeriodicThread::Pause Round();
  /// Now and then, by whoever leads.
  Result<void> Prune();

  const Options options_;
  const Ports ports_;
  ReleaseDriver driver_;
  observe::Gauge& open_;
  observe::Gauge& leads_;
  observe::Counter& failures_;
  observe::FailureLog failing_;  // The thread's, as the next.
  TimePoint pruned_{};
  std::shared_ptr<void> subscription_;
  runtime::PeriodicThread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::releases
