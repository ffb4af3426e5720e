#include "mezzo/models/declared_config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "mezzo/base/strings.h"

namespace mezzo::models {
namespace {

Error Bad(std::string_view source, const std::string& message) {
  return InvalidArgument("model_config_invalid", std::string(source) + ": " + message);
}

Result<void> CheckRange(std::string_view source, const char* what, std::int64_t value, std::int64_t min,
                        std::int64_t max) {
  if (value >= min && value <= max) return {};
  return Bad(source, std::string(what) + " is " + std::to_string(value) + "; it must be between " +
                         std::to_string(min) + " and " + std::to_string(max));
}

/// A path of at most four safe names: "labels.txt", "labels/en.txt".
bool IsSafeRelativePath(std::string_view path) {
  const auto parts = Split(path, '/');
  return parts.size() <= 4 && std::all_of(parts.begin(), parts.end(), IsSafeName);
}

Result<void> CheckTensors(std::string_view source, const char* what,
                          const std::vector<TensorConfig>& tensors) {
  if (tensors.size() > ConfigLimits::kMaxTensors) {
    return Bad(source, "there are " + std::to_string(tensors.size()) + " " + what + "s; the limit is " +
                           std::to_string(ConfigLimits::kMaxTensors));
  }
  std::set<std::string_view> names;
  for (const TensorConfig& tensor : tensors) {
    if (tensor.name.empty()) return Bad(source, std::string(what) + " without a name");
    const std::string subject = std::string(what) + " '" + Printable(tensor.name) + "'";
    if (!names.insert(tensor.name).second) return Bad(source, subject + " is there twice");
    for (const std::int64_t dim : tensor.shape.dims()) {
      if (dim < 1 && dim != -1) {
        return Bad(source, subject + " has the dimension " + std::to_string(dim) +
                               "; it must be at least 1, or -1 where it varies");
      }
    }
    if (!tensor.label_file.empty() && !IsSafeRelativePath(tensor.label_file)) {
      return Bad(source, subject + ": the label file '" + Printable(tensor.label_file) +
                             "' must be a path of plain names below the model's folder");
    }
  }
  return {};
}

Result<void> CheckVersionPolicy(std::string_view source, const VersionPolicy& policy) {
  if (policy.kind == VersionPolicy::Kind::kLatest) {
    return CheckRange(source, "the number of latest versions", policy.latest_count, 1,
                      static_cast<std::int64_t>(UINT32_MAX));
  }
  if (policy.kind == VersionPolicy::Kind::kAll) return {};
  if (policy.versions.empty()) return Bad(source, "the version policy 'specific' names no version");
  if (policy.versions.size() > ConfigLimits::kMaxVersions) {
    return Bad(source, "the version policy names " + std::to_string(policy.versions.size()) +
                           " versions; the limit is " + std::to_string(ConfigLimits::kMaxVersions));
  }
  for (const std::int64_t version : policy.versions) {
    if (version < 1) return Bad(source, "the version policy names the version " + std::to_string(version));
  }
  return {};
}

Result<void> CheckScheduling(std::string_view source, const ModelConfig& c) {
  MEZZO_TRY_VOID(CheckRange(source, "max_batch_size", c.max_batch_size, 0, ConfigLimits::kMaxBatchSize));
  MEZZO_TRY_VOID(CheckRange(source, "the number of instances", c.instances, 0, ConfigLimits::kMaxInstances));
  for (const std::int64_t size : c.preferred_batch_sizes) {
    if (size < 1) return Bad(source, "a preferred batch size is " + std::to_string(size));
    if (c.max_batch_size > 0 && size > c.max_batch_size) {
      return Bad(source, "the preferred batch size " + std::to_string(size) + " is above max_batch_size " +
                             std::to_string(c.max_batch_size));
    }
  }
  if (c.preferred_batch_sizes.size() > ConfigLimits::kMaxTensors) {
    return Bad(source, "there are too many preferred batch sizes");
  }
  if (!std::isfinite(c.weight) || c.weight <= 0) return Bad(source, "weight must be above 0");
  if (c.priority_levels > ConfigLimits::kMaxPriorityLevels) {
    return Bad(source, "there are " + std::to_string(c.priority_levels) + " priority levels; the limit is " +
                           std::to_string(ConfigLimits::kMaxPriorityLevels));
  }
  const bool default_fits = c.priority_levels == 0
                                ? c.default_priority == 0
                                : c.default_priority >= 1 && c.default_priority <= c.priority_levels;
  if (!default_fits) {
    return Bad(source, "the default priority level " + std::to_string(c.default_priority) +
                           " is not one of the " + std::to_string(c.priority_levels) + " priority levels");
  }
  return {};
}

Result<void> CheckWarmups(std::string_view source, const ModelConfig& c) {
  if (c.warmup.size() > ConfigLimits::kMaxWarmups) {
    return Bad(source, "there are " + std::to_string(c.warmup.size()) + " warm-ups; the limit is " +
                           std::to_string(ConfigLimits::kMaxWarmups));
  }
  for (const WarmupConfig& warmup : c.warmup) {
    MEZZO_TRY_VOID(
        CheckRange(source, "a warm-up's batch size", warmup.batch_size, 1, ConfigLimits::kMaxBatchSize));
    MEZZO_TRY_VOID(CheckRange(source, "a warm-up's count", warmup.count, 1, ConfigLimits::kMaxWarmupCount));
    for (const auto& [name, dims] : warmup.input_dims) {
      for (const std::int64_t dim : dims) {
        if (dim < 1) {
          return Bad(source, "a warm-up gives input '" + Printable(name) + "' the dimension " +
                                 std::to_string(dim) + "; it must be at least 1");
        }
      }
    }
  }
  return {};
}

}  // namespace

Result<void> CheckConfig(const ModelConfig& config, std::string_view source) {
  if (!config.file.empty() && !IsSafeName(config.file)) {
    return Bad(source, "the model file '" + Printable(config.file) + "' must be a plain file name");
  }
  MEZZO_TRY_VOID(CheckVersionPolicy(source, config.version_policy));
  MEZZO_TRY_VOID(CheckTensors(source, "input", config.inputs));
  MEZZO_TRY_VOID(CheckTensors(source, "output", config.outputs));
  MEZZO_TRY_VOID(CheckScheduling(source, config));
  MEZZO_TRY_VOID(CheckWarmups(source, config));
  for (const auto& [symbol, size] : config.fixed_dims) {
    if (size < 1) {
      return Bad(source, "the fixed dimension '" + Printable(symbol) + "' is " + std::to_string(size) +
                             "; it must be at least 1");
    }
  }
  return {};
}

}  // namespace mezzo::models
