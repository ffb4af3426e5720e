#pragma once

#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/pipeline_ports.h"
#include "mezzo/lifecycle/pipeline_store.h"

namespace mezzo::lifecycle {

/// Drives runs by rounds: schedules whose time has come begin runs, what has ended moves runs on, and what a
/// run wants is done. One host leads; the lease only saves work: a run is kept over the revision that was
/// read before anything is done for it, so two leaders at once change nothing that the other has not seen.
/// Not thread-safe, but any number may work on the same rows.
class PipelineDriver {
 public:
  struct Options {
    Duration lease = std::chrono::seconds(5);
    std::size_t max_open = 5000;   ///< Runs looked at in a round.
    std::size_t max_commands = 2;  ///< Stages train and evaluate at the same time, on all hosts.
    std::size_t max_due = 200;     ///< Schedules in a round.
  };
  /// All outlive the driver. `clock` is the hosts' shared one.
  struct Ports {
    PipelineStore& store;
    StageJobs& jobs;
    PipelineWorld& world;
    const Clock& clock;
  };
  /// `host` names this process, and no other at any time.
  PipelineDriver(Options options, Ports ports, std::string host)
      : options_(options), ports_(ports), host_(std::move(host)) {}

  struct Round {
    bool leads = false;
    std::size_t open = 0;
    std::size_t waiting = 0;    ///< For an approval.
    std::vector<Error> errors;  ///< Of single runs; the others were driven all the same.
  };
  /// Fails when the database can't be read or written.
  Result<Round> Run(TimePoint deadline);

 private:
  Result<void> Drive(PipelineRun run, TimePoint deadline);
  Result<RunObservation> Observe(const PipelineRun& run, TimePoint deadline);
  /// True when `run` has changed.
  Result<bool> Act(PipelineRun& run, TimePoint deadline);
  Result<void> Keep(PipelineRun& run, RunTransition next, TimePoint deadline);

  const Options options_;
  const Ports ports_;
  const std::string host_;
  // Of the round:
  std::set<std::string> active_;  // Pipelines with a run under way.
  std::size_t commands_ = 0;      // That run.
};

}  // namespace mezzo::lifecycle
