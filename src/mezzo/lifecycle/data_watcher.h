#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/datasets.h"
#include "mezzo/lifecycle/pipeline_store.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"

namespace mezzo::lifecycle {

/// Looks at the folders of data that pipelines watch, once a period, on one host at a time, and begins their
/// runs (data_watch.h says when). What was seen is in the database, so another host goes on with it; the
/// lease saves work, and each step is kept over the revision that was read, so a change begins one run
/// whoever looks. A look that fails is shown with the pipeline and logged when it begins and ends; the others
/// go on.
///
/// A thread of its own, as a disk may hang. Thread-safe.
class DataWatcher {
 public:
  struct Options {
    std::string host;  ///< Names this process, and no other at any time.
    Duration period = std::chrono::seconds(10);
    Duration lease = std::chrono::seconds(30);
    Duration look_limit = std::chrono::seconds(20);  ///< Of one folder.
    Duration database_timeout = std::chrono::seconds(10);
    std::size_t page = 500;
  };
  /// All outlive the watcher. `clock` is the hosts' shared one.
  struct Ports {
    PipelineStore& store;
    Datasets& datasets;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& metrics;
  };
  DataWatcher(Options options, const Ports& ports)
      : DataWatcher(
            std::move(options), ports,
            ports.metrics.NewCounterFamily("mezzo_pipelines_data_looks_total",
                                           "Looks at folders of data that pipelines watch.", {"outcome"})) {}
  ~DataWatcher() = default;
  DataWatcher(const DataWatcher&) = delete;
  DataWatcher& operator=(const DataWatcher&) = delete;

  struct Round {
    bool leads = false;
    std::size_t looks = 0;
    std::size_t failed = 0;
    std::size_t runs = 0;  ///< Begun, or joined.
  };
  /// On the caller's thread; not thread-safe. Fails with the database's errors.
  Result<Round> RunOnce();
  void Start() { thread_.Start(); }
  /// Waits for the look that runs: `look_limit` at most, unless the disk itself hangs.
  void Stop() { thread_.Stop(); }

 private:
  DataWatcher(Options options, const Ports& ports, observe::Family<observe::Counter>& looks);
  void RunAndLog();
  Result<void> Keep(const PipelineStore::DataTrigger& trigger, const Result<DataSight>& sight, Round& round);
  [[nodiscard]] TimePoint Soon() const {
    return AddSaturating(ports_.clock.Now(), options_.database_timeout);
  }

  const Options options_;
  const Ports ports_;
  observe::Counter& looks_;
  observe::Counter& failures_;
  observe::Counter& runs_;
  runtime::PeriodicThread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::lifecycle
