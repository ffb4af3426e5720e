#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/engine/engine.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers {

struct WorkerMetrics;

/// Runs Python models, each in processes of its own that are supervised, bounded and started again when they
/// die (README.md). A model is a file model.py with a class Model, or a Diffusers pipeline's
/// model_index.json.
///
/// Thread-safe. Sessions may outlive the engine, and outputs their session.
class WorkerEngine final : public engine::Engine {
 public:
  struct Options {
    std::string python = "python3";  ///< Looked for in PATH; a model may name another.
    /// Variables of this process that workers get beside the harmless ones (README.md). Everything else,
    /// such as keys and passwords, they do not see.
    std::vector<std::string> environment;
    ByteCount memory_limit = 0;  ///< Of one process, unless its model says; 0: half of this host's memory.
    ByteCount max_shared_bytes = ByteCount{4} << 30U;  ///< Of one session: inputs and borrowed outputs.
    std::uint32_t crash_budget = 5;  ///< Deaths in a row after which a process counts as broken.
    runtime::Backoff::Options backoff = {.first = std::chrono::milliseconds(250),
                                         .longest = std::chrono::seconds(30)};
    Duration broken_pause = std::chrono::minutes(1);  ///< Between two attempts to start a broken one.
  };

  /// `log`, which may be null, gets what workers say and how they end. All outlive the sessions.
  WorkerEngine(Options options, const Clock& clock, observe::Registry& registry,
               observe::Logger* log = nullptr);
  ~WorkerEngine() override;

  /// Starts `request.instances` processes and waits until all are ready. Errors beside those of the
  /// interface: kUnavailable "worker_start", "worker_died", kDeadlineExceeded "worker_start_timeout",
  /// kInternal "worker_protocol". Runs fail with kInvalidArgument "worker_rejected_input" (the model raised
  /// ValueError or TypeError), kInternal "worker_failed" (it raised another), "worker_protocol", kUnavailable
  /// "worker_died", "worker_restarting", "worker_broken", kDeadlineExceeded "worker_run_timeout",
  /// "worker_hung", kResourceExhausted "worker_memory_exceeded", "worker_memory_full", kCancelled
  /// "run_terminated".
  Result<std::unique_ptr<engine::Session>> Load(const engine::LoadRequest& request) override;
  [[nodiscard]] std::string platform() const override { return "python"; }
  [[nodiscard]] std::vector<std::string> providers() const override { return {"python"}; }

 private:
  [[nodiscard]] std::vector<std::string> Environment() const;

  const Options options_;
  const Clock& clock_;
  const std::shared_ptr<WorkerMetrics> metrics_;
  observe::Logger* const log_;
};

}  // namespace mezzo::drivers
