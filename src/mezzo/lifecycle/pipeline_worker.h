#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/pipeline_ports.h"
#include "mezzo/lifecycle/pipeline_store.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/retirer.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// Does a stage's work, as a job of the durable queue: it may be begun again after a crash anywhere, and does
/// nothing any more once the run has gone on without it. Blocks. Thread-safe.
class PipelineWorker {
 public:
  struct Options {
    ManifestLimits files;
    Duration timeout = std::chrono::seconds(30);  ///< Of the database.
    Duration transfer = std::chrono::hours(1);    ///< Of a version's files.
    Duration check = std::chrono::seconds(1);     ///< Between looks whether the run has gone on.
  };
  /// All outlive the worker.
  struct Ports {
    PipelineStore& store;
    RegistryStore& registry;
    VersionUploads& uploads;
    storage::BlobStore& blobs;
    StageRunner& runner;
    PipelineWorld& world;
    Retirer& retirer;
    const Clock& clock;
  };
  PipelineWorker(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// The attempt, as the queue gives it.
  struct Task {
    StageJob job;
    std::string id;          ///< Of the job.
    std::string checkpoint;  ///< What an earlier run of the job has kept.
    std::function<bool()> cancelled;
    std::function<Result<void>(const std::string&)> keep;  ///< A new checkpoint; durable when it returns.
  };
  /// StageResult as JSON. kFailedPrecondition "pipeline_stage_stale" (the run has gone on without it),
  /// "pipeline_version_missing", "pipeline_files_missing"; those of the ports.
  Result<std::string> Work(const Task& task);

 private:
  struct Attempt {
    const PipelineRun& run;
    const StageSpec& stage;
    const Task& task;
    std::function<bool()> stop;
  };
  Result<StageResult> Command(const Attempt& attempt);
  Result<StageResult> Register(const Attempt& attempt);
  Result<StageResult> Release(const Attempt& attempt);
  Result<StageResult> Retire(const Attempt& attempt);
  Result<std::int64_t> VersionOf(const Attempt& attempt);
  Result<void> Upload(const Attempt& attempt, const std::string& part, const ManifestFile& file);
  [[nodiscard]] TimePoint Soon() const { return AddSaturating(ports_.clock.Now(), options_.timeout); }

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
