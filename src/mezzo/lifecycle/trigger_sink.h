#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// Something happened to a model that a pipeline may begin with.
struct TriggerEvent {
  std::string kind;  ///< "drift", "objective" or "data".
  std::string model;
  std::optional<std::int64_t> version;
  std::string key;     ///< Events of equal kind, model and key are one: they start pipelines once.
  std::string detail;  ///< JSON object: what was seen. Kept with the run.
  WallTime at;
};

/// Where such events go. Thread-safe.
class TriggerSink {
 public:
  virtual ~TriggerSink() = default;
  /// Durable when it returns: whoever is to start is started even if this host ends now. Blocks. Fails with
  /// the database's errors; the caller tries again, which `key` makes harmless.
  virtual Result<void> Fire(const TriggerEvent& event, TimePoint deadline) = 0;
};

}  // namespace mezzo::lifecycle
