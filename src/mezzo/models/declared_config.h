#pragma once

#include <string>
#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/models/model_config.h"

namespace mezzo::models {

/// What a configuration file says about a model, before the model itself completes it (completion.h).
/// Default-constructed: there is no file.
struct DeclaredConfig {
  ModelConfig config;
  std::string source;               ///< The file's name, for messages: "config.pbtxt". Empty: no file.
  bool has_max_batch_size = false;  ///< The file decides about batching; otherwise the model's shapes do.
  /// Triton's dims leave the batch dimension out when the model batches; model.yaml's shapes never do.
  bool dims_may_exclude_batch = false;
  /// A part of a pipeline: numbers among its inputs are shared by the rows of a batch (TensorConfig::shared),
  /// and its variable first dimensions are the batch whatever their symbols are.
  bool pipeline_part = false;
};

/// Bounds on the numbers of a configuration, whatever its format.
struct ConfigLimits {
  static constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
  static constexpr int kMaxDepth = 32;
  static constexpr std::int64_t kMaxBatchSize = 65536;
  static constexpr std::int64_t kMaxInstances = 256;
  static constexpr std::size_t kMaxTensors = 1024;
  static constexpr std::size_t kMaxWarmups = 64;
  static constexpr std::int64_t kMaxWarmupCount = 10'000;
  static constexpr std::size_t kMaxVersions = 1024;
  static constexpr std::uint64_t kMaxPriorityLevels = 1024;
};

/// Reads a model.yaml (docs/models.md). `source` names the file in messages. Unknown keys are errors. Fails
/// with "model_yaml_…" slugs of the loader, or "model_config_invalid".
Result<DeclaredConfig> ParseModelYaml(std::string_view text, std::string_view source);

/// Reads Triton's config.pbtxt. What Mezzo lacks fails with kUnimplemented "model_config_unsupported" naming
/// line and field, everything else that is wrong with kInvalidArgument "model_config_invalid".
Result<DeclaredConfig> ParseConfigPbtxt(std::string_view text, std::string_view source);

/// Reads the same configuration as JSON, as the load request brings it. Same errors, without lines.
Result<DeclaredConfig> ParseConfigJson(std::string_view text, std::string_view source);

/// What must hold for any configuration: bounds, safe file names, unique tensor names, warm-ups of known
/// inputs. The message begins with `source`.
Result<void> CheckConfig(const ModelConfig& config, std::string_view source);

}  // namespace mezzo::models
