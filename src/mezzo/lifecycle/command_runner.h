#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/pipeline_ports.h"
#include "mezzo/storage/blob_key.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// A command that the operator lets pipelines name.
struct CommandRule {
  std::vector<std::string> argv;  ///< The program's absolute path, and what always stands behind it.
  std::size_t max_arguments = 0;  ///< That a pipeline may add.
  std::map<std::string, std::string> fixed;  ///< Variables that are always set.
  std::vector<std::string> environment;      ///< Those that a pipeline may set.
  std::vector<std::string> read;  ///< Files and folders that it may read, beside the system's programs.
  ByteCount memory = ByteCount{4} << 30;  ///< Of each of its processes.
  Duration max_time = std::chrono::hours(24);
  bool confine = true;   ///< False: it may read and write what the server may.
  bool network = false;  ///< True: it has the network that the server has.
};

/// What pipelines may do by these rules.
PipelineRules RulesOf(const std::map<std::string, CommandRule>& commands);

/// Runs the commands of stages on this host. A command gets a new folder, in which it is: `in/` has what the
/// stage `train` made, `trigger.json` why the run began; what it leaves in `out/` is what it made, and
/// `metrics.json`, an object of numbers, its metrics. Of the environment it has PATH, HOME and TMPDIR (in the
/// folder), MEZZO_RUN, MEZZO_PIPELINE, MEZZO_STAGE, MEZZO_ATTEMPT, MEZZO_MODEL, MEZZO_PARENT, and what the
/// rule and the stage set. It is ended with all that it began at its time limit, when it is to stop, and when
/// the server is gone. What it made is kept in `blobs` for a week, so that any host goes on. Thread-safe.
class CommandRunner final : public StageRunner {
 public:
  struct Options {
    std::string folder;  ///< Absolute; made when missing. What an earlier process left there is removed.
    std::vector<std::string> child = {"/proc/self/exe", "run-stage"};  ///< RunStageChild().
    std::map<std::string, CommandRule> commands;
    ManifestLimits files;
    Duration kept = std::chrono::hours(24 * 7);
  };
  /// Both outlive the runner. `clock` is the hosts' shared one.
  struct Ports {
    storage::BlobStore& blobs;
    const Clock& clock;
  };
  CommandRunner(Options options, Ports ports) : options_(std::move(options)), ports_(ports) {}

  /// Makes the folder, empty. Fails with kUnavailable "pipeline_folder".
  Result<void> Open();

  /// kFailedPrecondition "pipeline_command" (not allowed any more), "pipeline_command_failed",
  /// "pipeline_time_limit", "pipeline_sandbox", "pipeline_metrics", and the manifest's reasons about what it
  /// made; kCancelled "pipeline_stopped"; kUnavailable "pipeline_folder" and the store's.
  Result<StageOutcome> Run(const StageCommand& command, const std::function<bool()>& stop) override;

  /// Where a file that an attempt made lies.
  static Result<storage::BlobKey> KeyOf(const std::string& run, const std::string& part,
                                        const std::string& sha256);
  /// What names an attempt there: digits.
  static std::string PartOf(std::size_t stage, std::uint32_t attempt);

 private:
  Result<const CommandRule*> RuleOf(const StageSpec& stage) const;
  Result<void> Fetch(const StageCommand& command, const std::string& folder, TimePoint deadline) const;
  Result<void> Collect(const StageCommand& command, const std::string& folder, StageOutcome& outcome,
                       TimePoint deadline) const;
  Result<StageOutcome> RunIn(const StageCommand& command, const CommandRule& rule, const std::string& folder,
                             const std::function<bool()>& stop) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
