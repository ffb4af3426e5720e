#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/hosting.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::engine {

/// An input or output as the model declares it. A dimension of -1 may vary.
struct TensorSpec {
  std::string name;
  tensor::DType dtype = tensor::DType::kFp32;
  tensor::Shape shape;
  /// The model's symbolic names of the dimensions, one each, empty where there is none: {"batch", "seq", ""}.
  std::vector<std::string> symbols;
  bool optional = false;
};

/// What a loaded model is.
struct SessionFacts {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::string provider;  ///< The execution provider that was chosen: "cpu", "cuda".
  ByteCount
      memory_bytes{};      ///< What the session holds: weights as the engine keeps them, and its structures.
  bool has_loops = false;  ///< How long a run takes depends on the values, without a bound.
};

/// How far a run has come, in the model's own steps; 0 of 0 when it does not tell.
struct RunProgress {
  std::uint32_t step = 0;
  std::uint32_t steps = 0;
};

/// Watches and stops a run from another thread. One per thread that runs; reused from run to run.
class RunControl {
 public:
  virtual ~RunControl() = default;
  /// Asks the run in progress to end early with kCancelled. Thread-safe; best effort (between operators).
  virtual void Terminate() = 0;
  /// Makes the control usable again after Terminate().
  virtual void Reset() = 0;
  /// Of the run in progress, or of the last one. Thread-safe.
  [[nodiscard]] virtual RunProgress progress() const { return {}; }
};

/// A loaded model, ready to run. Run() is thread-safe. Destroying it frees its memory; it must be idle.
class Session {
 public:
  virtual ~Session() = default;
  [[nodiscard]] virtual const SessionFacts& facts() const = 0;

  /// Runs the model on this thread and blocks. `inputs[i]` belongs to facts().inputs[i], checked against its
  /// type; an absent optional input is null. Inputs are read in place (64-byte alignment is not needed, that
  /// of the element type is). `wanted` are indices into facts().outputs; the answer has one tensor for each,
  /// in that order, whose bytes the engine's memory owns until the last reference goes. `control` may be
  /// null. Errors: kInvalidArgument "engine_rejected_input" for what the model refuses (shapes), kInternal
  /// "engine_failed", kResourceExhausted "engine_memory", kCancelled "run_terminated".
  virtual Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                                  std::span<const std::size_t> wanted,
                                                  RunControl* control) = 0;
  /// A control for Run().
  [[nodiscard]] virtual std::unique_ptr<RunControl> NewRunControl() = 0;
  /// Fails while the session can't be expected to run anything: its processes keep dying. For readiness; runs
  /// are still allowed. Thread-safe, never blocks.
  [[nodiscard]] virtual Result<void> Health() const { return {}; }
};

/// One execution provider asked for, with its options as the engine knows them.
struct ProviderChoice {
  std::string name;  ///< "cpu", "openvino", "cuda", "tensorrt".
  std::vector<std::pair<std::string, std::string>> options;
};

struct LoadRequest {
  std::string model;       ///< Its name, for messages, logs and metrics.
  std::string platform;    ///< Engine::platform() of the engine that is meant: "onnxruntime_onnx", "python".
  std::string model_path;  ///< The model's file; anything it refers to must lie below its own folder. For
                           ///< models that have none, their folder.
  /// Tried in order; the first that this host has is taken. Empty means CPU.
  std::vector<ProviderChoice> providers;
  /// 0 basic, 1 extended, 2 all optimisations.
  int optimization_level = 2;
  /// Dimensions by their symbolic names, fixed at load for static specialisation.
  std::vector<std::pair<std::string, std::int64_t>> fixed_dims;
  /// Inputs and outputs of the configuration, for engines whose models may leave it to that to declare them.
  std::vector<TensorSpec> declared_inputs;
  std::vector<TensorSpec> declared_outputs;
  std::int64_t instances = 1;  ///< Runs that will be made at once.
  WorkerSettings worker;
  Upstream upstream;
};

/// Loads models of one format. Thread-safe; loads may run side by side with runs.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Blocks, possibly for seconds; call it on a background pool. Errors carry the engine's own reason:
  /// kInvalidArgument "model_invalid", kNotFound "model_file_missing", kUnavailable "provider_missing".
  virtual Result<std::unique_ptr<Session>> Load(const LoadRequest& request) = 0;
  /// "onnxruntime_onnx", "python", "remote": as v2 metadata calls it.
  [[nodiscard]] virtual std::string platform() const = 0;
  /// What this host can use, best first: {"cuda", "cpu"}.
  [[nodiscard]] virtual std::vector<std::string> providers() const = 0;
};

}  // namespace mezzo::engine
