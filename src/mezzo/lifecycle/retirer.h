#pragma once

#include <cstdint>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// What takes a version out of service. Thread-safe.
class Retirer {
 public:
  virtual ~Retirer() = default;
  /// Begins: the version is drained and archived when no route, release, alias or call needs it any more.
  /// Does not wait for that. Blocks for the database alone. Beginning twice is beginning once. Fails with
  /// kNotFound "registry_version_unknown", kFailedPrecondition "version_in_use" when a route, an alias or a
  /// release names it (the message says which).
  virtual Result<void> Begin(const std::string& model, std::int64_t version, const std::string& who,
                             TimePoint deadline) = 0;
};

}  // namespace mezzo::lifecycle
