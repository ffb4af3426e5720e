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
  bool deleted = false;
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

/// Which of what may be deleted a search is about.
enum class TrackingView : std::uint8_t { kActive, kDeleted, kAll };

/// What is compared, and what is ordered by.
enum class TrackingField : std::uint8_t {
  kMetric,  ///< That of the last step, under a key. These of runs alone.
  kParam,   ///< Under a key.
  kRunId,
  kStatus,
  kUser,
  kStarted,  ///< In milliseconds since the Unix epoch, as each time here.
  kEnded,
  kTag,  ///< Under a key; of runs and of experiments.
  kName,
  kExperimentId,  ///< These of experiments alone. A text of digits.
  kCreated,
  kUpdated,
};

/// One condition of a search. All of a query's must hold. What has no such key, or no end yet, meets none but
/// kAbsent; a measurement that is no number only kDiffers.
struct TrackingCondition {
  TrackingField field = TrackingField::kName;
  std::string key;  ///< Of kMetric, kParam and kTag.
  SearchComparison comparison = SearchComparison::kEquals;
  std::vector<std::string> values;  ///< Of texts: one, but for kIn and kNotIn; none for kAbsent and kPresent.
  double real = 0;                  ///< Of kMetric; finite.
  std::int64_t number = 0;          ///< Of times.

  friend bool operator==(const TrackingCondition&, const TrackingCondition&) = default;
};

/// What has no such key comes last either way, before it what is no number.
struct TrackingOrder {
  TrackingField field = TrackingField::kName;
  std::string key;
  bool down = false;

  friend bool operator==(const TrackingOrder&, const TrackingOrder&) = default;
};

struct RunQuery {
  std::vector<std::int64_t> experiments;
  std::vector<TrackingCondition> conditions;
  std::vector<TrackingOrder> order;  ///< Then by start, the last first, then by id.
  TrackingView view = TrackingView::kActive;
};

struct ExperimentQuery {
  std::vector<TrackingCondition> conditions;
  /// Of kName, kExperimentId, kCreated, kUpdated; then by number, the last first. Empty: by creation, the
  /// last first.
  std::vector<TrackingOrder> order;
  TrackingView view = TrackingView::kActive;
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
