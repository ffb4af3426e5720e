#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/engine/engine.h"
#include "mezzo/models/content_digest.h"
#include "mezzo/models/model_config.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/task.h"

namespace mezzo::models {

/// What the layer above keeps with a loaded version (its place in the scheduler, its metrics). Made before
/// the version is published, destroyed after the last reference to the version has gone.
class VersionExtension {
 public:
  virtual ~VersionExtension() = default;
};

/// What the first runs of a version took.
struct RunTiming {
  Duration solo{};      ///< One row alone.
  double marginal = 1;  ///< A further row in a batch, over one alone; in [0, 1].
};

/// A loaded version of a model. Immutable and shared: whoever holds a reference keeps the session alive, so
/// an unload drains by itself.
struct ModelVersion {
  ModelName name;
  std::int64_t version = 1;
  std::string version_text;      ///< "1".
  std::string folder;            ///< Where its files lie: in a repository, or with those that a load brought.
  std::vector<FileState> files;  ///< In `folder`, as its load began; only of models that declare `cache`.
  std::shared_ptr<const ModelConfig> config;
  std::unique_ptr<engine::Session> session;
  ByteCount memory_bytes{};
  Duration load_time{};
  std::optional<RunTiming> timing;              ///< Unless its warm-up could not tell.
  std::unique_ptr<VersionExtension> extension;  ///< Last: it may use the session.
};
using VersionRef = std::shared_ptr<const ModelVersion>;

/// Called on a background thread when a session is loaded and warm, before anybody can find the version.
class VersionBinder {
 public:
  virtual ~VersionBinder() = default;
  virtual Result<std::unique_ptr<VersionExtension>> Bind(const ModelVersion& version) = 0;
  /// The version is no longer served, for good: unloaded, gone from the repository or no longer wanted. Not
  /// when it is replaced, or evicted to come back. From any thread; must not block.
  virtual void Withdrawn(const std::string& model, std::int64_t version) {
    (void)model;
    (void)version;
  }
};

enum class VersionState : std::uint8_t { kUnknown, kOnDisk, kLoading, kReady, kUnloading, kUnavailable };

/// A line of the repository index. `kOnDisk`: served, loaded on first use.
struct IndexEntry {
  std::string name;
  std::string version;  ///< Empty for a model of which nothing was loaded.
  VersionState state = VersionState::kUnknown;
  std::string reason;  ///< Why it is unavailable.
};

/// What a load by the control API brings along.
struct LoadOverrides {
  std::string config_json;  ///< Empty: the repository's own config.
  std::map<std::string, std::string>
      files;  ///< "1/model.onnx" → content; never touches the repository's folder.
};

/// The models this host serves. Thread-safe. Reads take no lock that a load holds.
class Catalog {
 public:
  virtual ~Catalog() = default;

  /// The loaded version that a call should use: `version` empty means the policy's newest ready one. Fast
  /// path, no waiting. Errors as Triton says them: kNotFound "model_unknown" ("Request for unknown model: 'x'
  /// is not found"), kNotFound "version_unknown", kUnavailable "model_not_ready" with the failed load's
  /// reason. kFailedPrecondition "model_on_disk": it has to be loaded first, see AcquireLoaded.
  virtual Result<VersionRef> Acquire(std::string_view model, std::string_view version) = 0;

  /// The same, loading the model when it is only on disk: single flight per version, waits at most until the
  /// context's deadline without holding a thread, and counts the use for eviction.
  virtual runtime::Task<Result<VersionRef>> AcquireLoaded(runtime::Context ctx, ModelName model,
                                                          std::string version) = 0;

  /// The configuration without loading (the declared one, completed if it was ever loaded).
  virtual Result<std::shared_ptr<const ModelConfig>> ConfigOf(std::string_view model,
                                                              std::string_view version) = 0;
  /// Versions that can be served now, ascending.
  virtual Result<std::vector<std::int64_t>> VersionsOf(std::string_view model) = 0;
  virtual bool IsReady(std::string_view model, std::string_view version) = 0;
  /// True once every model that has to be loaded at start has been tried.
  virtual bool StartupDone() = 0;
  virtual std::vector<IndexEntry> Index(bool ready_only) = 0;

  /// Explicit control. Load answers when the new versions are published or have failed; versions in service
  /// stay until then. Not allowed in polling mode (kUnavailable "control_mode").
  virtual runtime::Task<Result<void>> Load(runtime::Context ctx, ModelName model,
                                           LoadOverrides overrides) = 0;
  virtual runtime::Task<Result<void>> Unload(runtime::Context ctx, ModelName model) = 0;
};

}  // namespace mezzo::models
