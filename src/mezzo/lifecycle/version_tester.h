#pragma once

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"

namespace mezzo::lifecycle {

/// Tries versions that have arrived. Thread-safe.
class VersionTester {
 public:
  virtual ~VersionTester() = default;
  /// The version is `testing`: begins its test, which ends in RegistryStore::SetState() to ready or rejected.
  /// Does not wait for it. After an error the version stays `testing`; whoever implements this looks for such
  /// versions when it starts, as after a crash.
  virtual Result<void> Begin(const VersionRecord& version) = 0;
};

}  // namespace mezzo::lifecycle
