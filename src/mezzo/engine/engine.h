#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
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

/// Stops a run from another thread. One per thread that runs; reused from run to run.
class RunControl {
 public:
  virtual ~RunControl() = default;
  /// Asks the run in progress to end early with kCancelled. Thread-safe; best effort (between operators).
  virtual void Terminate() = 0;
  /// Makes the control usable again after Terminate().
  virtual void Reset() = 0;
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
  /// "engine_failed", kCancelled "run_terminated".
  virtual Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                                  std::span<const std::size_t> wanted,
                                                  RunControl* control) = 0;
  /// A control for Run().
  [[nodiscard]] virtual std::unique_ptr<RunControl> NewRunControl() = 0;
};

/// One execution provider asked for, with its options as the engine knows them.
struct ProviderChoice {
  std::string name;  ///< "cpu", "openvino", "cuda", "tensorrt".
  std::vector<std::pair<std::string, std::string>> options;
};

struct LoadRequest {
  std::string model_path;  ///< A file below `root`; anything it refers to must lie below its own folder.
  /// Tried in order; the first that this host has is taken. Empty means CPU.
  std::vector<ProviderChoice> providers;
  /// 0 basic, 1 extended, 2 all optimisations.
  int optimization_level = 2;
  /// Dimensions by their symbolic names, fixed at load for static specialisation.
  std::vector<std::pair<std::string, std::int64_t>> fixed_dims;
};

/// Loads models of one format. Thread-safe; loads may run side by side with runs.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Blocks, possibly for seconds; call it on a background pool. Errors carry the engine's own reason:
  /// kInvalidArgument "model_invalid", kNotFound "model_file_missing", kUnavailable "provider_missing".
  virtual Result<std::unique_ptr<Session>> Load(const LoadRequest& request) = 0;
  /// "onnxruntime_onnx", as v2 metadata calls it.
  [[nodiscard]] virtual std::string platform() const = 0;
  /// What this host can use, best first: {"cuda", "cpu"}.
  [[nodiscard]] virtual std::vector<std::string> providers() const = 0;
};

}  // namespace mezzo::engine
