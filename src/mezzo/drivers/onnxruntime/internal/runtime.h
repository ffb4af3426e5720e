#pragma once

#include <onnxruntime_c_api.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/onnxruntime/internal/allocator.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/observe/log.h"

namespace mezzo::drivers {

/// Loads and unloads in progress, so that a measurement of memory can tell whether it was alone. Thread-safe.
class MemoryChanges {
 public:
  /// One load or unload.
  class Scope {
   public:
    explicit Scope(MemoryChanges& changes)
        : changes_(changes),
          first_(changes.running_.fetch_add(1) == 0),
          number_(changes.begun_.fetch_add(1) + 1) {}
    ~Scope() { changes_.running_.fetch_sub(1); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    /// True when no other has been running since this one began.
    [[nodiscard]] bool alone() const { return first_ && changes_.begun_.load() == number_; }

   private:
    MemoryChanges& changes_;
    const bool first_;
    const std::uint64_t number_;
  };

 private:
  std::atomic<std::uint64_t> running_{0};  // Partner of begun_: a scope adds to both when it begins.
  std::atomic<std::uint64_t> begun_{0};
};

/// The library, its one environment with the shared thread pool, and the memory of all sessions.
///
/// Held by engines, sessions and outputs; the last one out releases the environment (the library itself
/// stays: it can't be unloaded safely). Thread-safe.
class OnnxRuntime {
 public:
  /// The process's runtime, made at the first call. Errors: kUnavailable "engine_missing",
  /// kFailedPrecondition "engine_options_differ" when it lives with other options.
  static Result<std::shared_ptr<OnnxRuntime>> Acquire(const OnnxEngine::Options& options,
                                                      observe::Logger* log);
  ~OnnxRuntime();
  OnnxRuntime(const OnnxRuntime&) = delete;
  OnnxRuntime& operator=(const OnnxRuntime&) = delete;

  [[nodiscard]] const OrtApi& api() const { return *api_; }
  [[nodiscard]] OrtEnv* env() const { return env_; }
  [[nodiscard]] const OrtMemoryInfo* cpu_memory() const { return cpu_memory_; }
  [[nodiscard]] SessionAllocator& allocator() { return *allocator_; }
  [[nodiscard]] const OnnxEngine::Options& options() const { return options_; }
  [[nodiscard]] observe::Logger* log() const { return log_; }
  [[nodiscard]] const std::string& version() const { return version_; }

  /// Devices of the plug-in provider with this name ("openvino"), registering its library if there is one.
  /// Empty when this host has none; `why` then says what is missing.
  std::vector<const OrtEpDevice*> PluginDevices(const std::string& provider, std::string& why) EXCLUDES(mu_);
  /// Providers that are compiled into the library, as it calls them: "CPUExecutionProvider".
  [[nodiscard]] const std::vector<std::string>& built_in() const { return built_in_; }

  // For Counts. Only sums; nothing is published through them.
  std::atomic<std::uint64_t> misaligned_inputs{0};
  std::atomic<std::uint64_t> runs{0};
  std::atomic<std::uint64_t> sessions{0};
  std::atomic<std::uint64_t> session_bytes{0};
  MemoryChanges memory_changes;

 private:
  OnnxRuntime(OnnxEngine::Options options, observe::Logger* log);
  Result<void> Open();
  Result<void> MakeEnvironment();
  static void ORT_API_CALL Log(void* self, OrtLoggingLevel severity, const char* category, const char* id,
                               const char* where, const char* message);

  const OnnxEngine::Options options_;
  observe::Logger* const log_;
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtMemoryInfo* cpu_memory_ = nullptr;
  std::string version_;
  std::vector<std::string> built_in_;
  std::unique_ptr<SessionAllocator> allocator_;

  Mutex mu_;
  /// Plug-in libraries that were tried: name, and why it failed or empty.
  std::vector<std::pair<std::string, std::string>> registered_ GUARDED_BY(mu_);
};

}  // namespace mezzo::drivers
