#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/models/declared_config.h"
#include "mezzo/models/internal/override_dir.h"
#include "mezzo/models/repository.h"

namespace mezzo::models::internal {

/// Where a model's files are and what its configuration says. Immutable; the versions loaded from it share
/// it, so override files live as long as a session may read them.
struct Source {
  ModelFolder folder;
  DeclaredConfig declared;
  /// Of a folder where each version is one by itself: what its own files declare, completed, or why they
  /// can't be used. `declared` is that of the newest one that can.
  std::map<std::int64_t, Result<DeclaredConfig>> own;
  std::shared_ptr<const ModelConfig> config;     ///< As declared, to show before the first load.
  std::vector<std::int64_t> wanted;              ///< The versions that the policy serves, ascending.
  std::optional<Error> problem;                  ///< Why nothing of it can be loaded.
  std::shared_ptr<const OverrideDir> overrides;  ///< Null: the repository's own files.
  std::uint64_t stamp = 0;                       ///< Of all files; 0 with overrides.
};

/// Reads `folder`'s configuration (model.yaml, else config.pbtxt, else none) and applies the version policy.
/// What is wrong ends up in `problem`, so that it can be shown. With `every_version` all versions of the
/// folder are wanted, whatever the policy says, and each is served by its own configuration: the files are in
/// the version's folder, beside its model. Blocks on the disk.
std::shared_ptr<Source> ReadSource(ModelFolder folder, bool every_version = false);

/// The same with the configuration that a load brought, and its files if any.
std::shared_ptr<Source> MakeOverrideSource(ModelFolder folder, DeclaredConfig declared,
                                           std::shared_ptr<const OverrideDir> overrides);

/// The versions of `available` (ascending) that `policy` serves, ascending.
std::vector<std::int64_t> ApplyVersionPolicy(const VersionPolicy& policy,
                                             const std::vector<std::int64_t>& available);

}  // namespace mezzo::models::internal
