#pragma once

#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/service.h"
#include "mezzo/lifecycle/retirement.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/scope.h"

namespace mezzo::app {

/// Loads versions for threads that may wait. Thread-safe.
class VersionLoads {
 public:
  /// All outlive this. `loop` runs the loads, as tasks of `scope`.
  struct Ports {
    models::Catalog& catalog;
    runtime::Scope& scope;
    runtime::Loop& loop;
    const Clock& clock;
  };
  explicit VersionLoads(Ports ports) : ports_(ports) {}

  /// Blocks: for threads that are not a loop's. Fails as Catalog::AcquireLoaded, with kDeadlineExceeded
  /// "version_timeout", and with kUnavailable "shutting_down".
  Result<void> LoadAndWait(const std::string& model, const std::string& version, TimePoint deadline) const;

 private:
  const Ports ports_;
};

/// How often this host has answered by each version, the parts of a pipeline under its name.
std::vector<lifecycle::Retirement::Served> TrafficOf(inference::Service& service);

}  // namespace mezzo::app
