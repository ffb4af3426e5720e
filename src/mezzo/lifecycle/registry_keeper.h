#pragma once

#include <chrono>

#include "mezzo/base/clock.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/tracked_artifacts.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/periodic_thread.h"

namespace mezzo::lifecycle {

/// A thread that looks after the registry: removes half an upload that nobody goes on with, artifacts that
/// were never registered, and contents that no version has any more. A bounded number in each round. Every
/// host may do it.
class RegistryKeeper {
 public:
  struct Options {
    Duration upload_lifetime = std::chrono::hours(24);
    Duration content_grace = std::chrono::hours(1);  ///< Between the last version with it and its end.
    Duration period = std::chrono::minutes(1);
    Duration round_time = std::chrono::minutes(1);
    std::size_t batch = 100;  ///< Of each in a round.
  };
  /// All outlive the keeper.
  struct Ports {
    RegistryStore& registry;
    VersionUploads& uploads;
    const Clock& clock;
    observe::Logger& log;
    TrackedArtifacts* artifacts = nullptr;  ///< Null: nothing is tracked.
  };
  RegistryKeeper(Options options, Ports ports);

  struct Round {
    std::size_t uploads = 0;
    std::size_t contents = 0;
    std::size_t artifacts = 0;
  };
  /// What is due now, on the caller's thread.
  Result<Round> RunOnce();

  void Start() { thread_.Start(); }
  /// Waits for the round that runs.
  void Stop() { thread_.Stop(); }

 private:
  void RunAndLog();

  const Options options_;
  const Ports ports_;
  runtime::PeriodicThread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::lifecycle
