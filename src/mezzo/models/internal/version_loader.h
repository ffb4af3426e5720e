#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/models/catalog.h"
#include "mezzo/models/internal/source.h"

namespace mezzo::models::internal {

/// Loads one version from disk to a session that has been warmed up: everything of a load that needs no lock.
/// Thread-safe; blocks.
class VersionLoader {
 public:
  struct Options {
    std::int64_t default_max_batch = 32;
    std::int64_t default_instances = 1;
    std::vector<engine::ProviderChoice> default_providers;
    ByteCount max_warmup_bytes = ByteCount{64} << 20;
  };
  /// Both outlive the loader.
  VersionLoader(Options options, engine::Engine& engine, const Clock& clock)
      : options_(std::move(options)), engine_(engine), clock_(clock) {}

  /// The version without extension. Errors are the engine's, "model_config_mismatch", "warmup_failed" and
  /// those of the files.
  [[nodiscard]] Result<std::unique_ptr<ModelVersion>> Load(const Source& source, std::int64_t version) const;

 private:
  [[nodiscard]] std::int64_t DefaultInstances(const std::string& platform) const;

  const Options options_;
  engine::Engine& engine_;
  const Clock& clock_;
};

}  // namespace mezzo::models::internal
