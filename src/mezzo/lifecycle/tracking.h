#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/lifecycle/registry.h"

namespace mezzo::lifecycle {

// What a training run says of itself before its model is a version: MLflow's tracking, as far as registering
// a model needs it. All of it belongs to one tenant, which alone sees it.

/// The experiment that every tenant has, under this number.
inline constexpr std::int64_t kDefaultExperiment = 0;

struct ExperimentRecord {
  std::int64_t id = kDefaultExperiment;
  std::string name;
  WallTime created;
  WallTime updated;
  Tags tags;
};

/// One measurement.
struct MetricPoint {
  std::string key;
  double value = 0;  ///< May be infinite or no number.
  std::int64_t at_ms = 0;
  std::int64_t step = 0;
  std::string model_id;  ///< The logged model that it was measured on; may be empty.
};

/// A model that a run has made.
struct RunOutput {
  std::string model_id;
  std::int64_t step = 0;
};

struct RunRecord {
  std::string id;  ///< 32 hex digits.
  std::int64_t experiment = kDefaultExperiment;
  std::string name;
  std::string user;
  std::string status;  ///< "RUNNING", "FINISHED", ...
  std::int64_t started_ms = 0;
  std::optional<std::int64_t> ended_ms;
  bool deleted = false;
  Tags params;
  Tags tags;
  std::map<std::string, MetricPoint> metrics;  ///< Of each key that of the last step.
  std::map<std::string, std::string> inputs;   ///< Data sets as JSON, by name and digest.
  std::vector<RunOutput> outputs;
};

/// A model that was logged and is not necessarily registered.
struct LoggedModelRecord {
  std::string id;  ///< "m-" and 32 hex digits.
  std::int64_t experiment = kDefaultExperiment;
  std::string name;
  std::string run_id;  ///< May be empty.
  std::string type;
  std::string status;  ///< "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY" or "LOGGED_MODEL_UPLOAD_FAILED".
  WallTime created;
  WallTime updated;
  std::string created_by;
  Tags params;
  Tags tags;
};

/// Where a file of a run or of a logged model is.
struct ArtifactPlace {
  TenantId tenant;
  std::string owner;  ///< The run's or the model's id.
  std::string path;
};

/// A file that comes in parts.
struct ArtifactUpload {
  std::string id;  ///< 32 hex digits that nobody guesses.
  ArtifactPlace place;
  std::uint32_t parts = 0;
};

/// A file or a folder that lies directly in a folder.
struct ArtifactEntry {
  std::string name;
  bool is_folder = false;
  ByteCount bytes = 0;  ///< Of a file.

  friend bool operator==(const ArtifactEntry&, const ArtifactEntry&) = default;
};

}  // namespace mezzo::lifecycle
