#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/engine/engine.h"
#include "mezzo/observe/log.h"

namespace mezzo::drivers {

class OnnxRuntime;

/// Runs ONNX models on ONNX Runtime.
///
/// The library is opened at the first Load() or providers(): a process that serves no model pays neither its
/// memory (31 MB) nor its start (17 ms). It allows one environment per process, so all OnnxEngines of a
/// process share it and must have equal `Options` while sessions or engines are alive.
///
/// Thread-safe. Sessions and outputs may outlive the engine.
class OnnxEngine final : public engine::Engine {
 public:
  struct Options {
    /// The library to open; empty means "libonnxruntime.so.1" by the program's rpath and the system's search.
    std::string library;
    /// Threads that one run may use, the caller's among them; one pool for all sessions. 0 means one per
    /// core.
    int intra_op_threads = 1;
    /// Lets pool threads spin for work instead of sleeping. Takes cores away from everything else.
    bool spinning = false;
    /// Treats denormal floats as zero while a model runs. Faster for some models; results may differ in the
    /// last bits.
    bool denormal_as_zero = false;
    /// Memory of finished runs that is kept for the next ones instead of going back to the system.
    ByteCount max_cached_bytes = ByteCount{64} << 20U;
    /// Memory that runs may hold together in blocks of 64 KiB and more, outputs that are still read among it;
    /// a run that needs more fails with kResourceExhausted "engine_memory". 0: half of the host's.
    ByteCount max_run_bytes = 0;
    /// Blocks from this size on that the library takes from malloc are mapped one by one, so that they go
    /// back to the system when a model is unloaded. Applies to the whole process (mallopt). 0 leaves malloc
    /// as it is.
    ByteCount malloc_map_threshold = ByteCount{128} << 10U;
    /// Execution providers that come as plug-in libraries: {"openvino",
    /// "/opt/…/libonnxruntime_providers_….so"}.
    std::vector<std::pair<std::string, std::string>> provider_libraries;
    /// Options that the operator gives to a provider for all models: {"openvino", {{"cache_dir", "/var/…"}}}.
    /// A model's own come on top, and may name no files.
    std::vector<engine::ProviderChoice> provider_defaults;
    /// A folder that the server alone fills, with hard links: models below it may have external data with a
    /// second name. Empty: none.
    std::string linked_root;

    friend bool operator==(const Options& a, const Options& b);
  };

  /// What the engine did so far.
  struct Counts {
    std::uint64_t runs = 0;
    /// Inputs that had to be copied because their bytes were not aligned for their element type.
    std::uint64_t misaligned_inputs = 0;
    std::uint64_t sessions = 0;   ///< Alive now.
    ByteCount session_bytes = 0;  ///< Held by them, as in facts().memory_bytes.
    ByteCount cached_bytes = 0;   ///< Kept for the next runs.
    ByteCount run_bytes = 0;      ///< Held by runs and their outputs, as `max_run_bytes` counts it.
  };

  /// `log`, which may be null, gets what the library reports, and what was loaded on which provider; it must
  /// outlive the engine, its sessions and all other engines with the same log.
  explicit OnnxEngine(Options options, observe::Logger* log = nullptr);
  ~OnnxEngine() override;

  /// Errors beside those of the interface: kUnavailable "model_changed", kUnavailable "engine_missing" when
  /// the library can't be opened, kFailedPrecondition "engine_options_differ", kInvalidArgument
  /// "provider_option".
  Result<std::unique_ptr<engine::Session>> Load(const engine::LoadRequest& request) override;
  [[nodiscard]] std::string platform() const override { return "onnxruntime_onnx"; }
  [[nodiscard]] std::vector<std::string> providers() const override;
  /// The library's version, "1.31.1"; empty when it can't be opened.
  [[nodiscard]] std::string version() const;
  [[nodiscard]] Counts counts() const;

 private:
  Result<std::shared_ptr<OnnxRuntime>> Runtime() const;

  const Options options_;
  observe::Logger* const log_;
  mutable Mutex mu_;
  mutable std::shared_ptr<OnnxRuntime> runtime_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers
