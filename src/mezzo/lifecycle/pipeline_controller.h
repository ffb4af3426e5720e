#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/pipeline_driver.h"
#include "mezzo/observe/failure_log.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::lifecycle {

/// A thread that drives pipelines once a second, and at once when one has changed. Failures are logged when
/// they begin and when they end. Every host has one. Thread-safe.
class PipelineController {
 public:
  struct Options {
    Duration period = std::chrono::seconds(1);
    Duration limit = std::chrono::seconds(20);  ///< Of a round.
    Duration prune = std::chrono::minutes(10);
    PipelineDriver::Options driver;
  };
  /// All outlive the controller.
  struct Ports {
    PipelineDriver::Ports driver;
    storage::SqlDb& db;
    observe::Registry& registry;
    observe::Logger& log;
  };
  PipelineController(const Options& options, const Ports& ports, std::string host);
  ~PipelineController() { Stop(); }
  PipelineController(const PipelineController&) = delete;
  PipelineController& operator=(const PipelineController&) = delete;

  void Start();
  /// Waits for the round that runs. Idempotent.
  void Stop();

 private:
  runtime::PeriodicThread::Pause Round();

  const Options options_;
  const Ports ports_;
  PipelineDriver driver_;
  observe::Gauge& open_;
  observe::Gauge& waiting_;
  observe::Gauge& leads_;
  observe::Counter& failures_;
  observe::FailureLog failing_;  // The thread's, as the next.
  TimePoint next_prune_{};
  std::shared_ptr<void> subscription_;
  runtime::PeriodicThread thread_;  // Last: it uses everything above.
};

}  // namespace mezzo::lifecycle
