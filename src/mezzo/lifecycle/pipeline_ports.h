#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/lifecycle/artifact_manifest.h"
#include "mezzo/lifecycle/pipeline.h"
#include "mezzo/lifecycle/pipeline_machine.h"

namespace mezzo::lifecycle {

/// One attempt of a stage, as a job is told.
struct StageJob {
  std::string run;
  std::size_t stage = 0;
  std::uint32_t attempt = 0;

  [[nodiscard]] std::string ToJson() const;
  /// Fails with kInvalidArgument "pipeline_job_invalid".
  static Result<StageJob> FromJson(std::string_view json);
};

/// The durable queue. Thread-safe; blocks.
class StageJobs {
 public:
  virtual ~StageJobs() = default;
  /// The job of this attempt: asked twice, it is one. Its id.
  virtual Result<std::string> Submit(const TenantId& tenant, const StageJob& job, const std::string& model,
                                     TimePoint deadline) = 0;
  struct View {
    RunObservation::Job state = RunObservation::Job::kActive;
    std::string result;
    Failure failure;
  };
  virtual Result<View> Look(const TenantId& tenant, const std::string& id, TimePoint deadline) = 0;
  /// No error when it has ended or is gone.
  virtual Result<void> Cancel(const TenantId& tenant, const std::string& id, TimePoint deadline) = 0;
};

/// What pipelines see of the platform and change of it beside the registry. Thread-safe; blocks.
class PipelineWorld {
 public:
  virtual ~PipelineWorld() = default;
  struct Serving {
    std::optional<std::int64_t> version;
    std::map<std::string, double> metrics;  ///< Of its lineage.
  };
  /// What answers the model's calls now.
  virtual Result<Serving> ServingOf(const std::string& model, TimePoint deadline) = 0;
  struct Watched {
    RunObservation::Watched state = RunObservation::Watched::kPending;
    Failure failure;
  };
  /// A version's test, a release.
  virtual Result<Watched> Look(const std::string& model, const Outside& what, TimePoint deadline) = 0;
  /// Begins a release of `version` under the id `id`, once; nothing to watch when nothing served before: then
  /// the version serves at once. kFailedPrecondition and kAlreadyExists are for good.
  virtual Result<std::optional<Outside>> Release(const std::string& id, const PipelineRun& run,
                                                 const StageSpec& stage, std::int64_t version,
                                                 TimePoint deadline) = 0;
  /// Ends a release that has not ended.
  virtual Result<void> StopRelease(const std::string& id, const std::string& who, TimePoint deadline) = 0;
};

/// A command to run: what a module for training fills later.
struct StageCommand {
  const PipelineRun& run;
  const StageSpec& stage;
  std::size_t index = 0;
  std::uint32_t attempt = 0;
  std::vector<ManifestFile> inputs;  ///< What the stage `train` before it has made.
  std::string inputs_key;            ///< Where they lie.
};
struct StageOutcome {
  std::map<std::string, double> metrics;
  std::vector<ManifestFile> files;  ///< What it has made; kept for later stages.
  std::string log;                  ///< The end of what it wrote.
  bool confined = false;            ///< It could read and write only what it should.
};
class StageRunner {
 public:
  virtual ~StageRunner() = default;
  /// `stop` is asked several times a second. Errors are the attempt's: kFailedPrecondition
  /// "pipeline_command_failed", ...; retryable ones run the job again.
  virtual Result<StageOutcome> Run(const StageCommand& command, const std::function<bool()>& stop) = 0;
};

}  // namespace mezzo::lifecycle
