#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/engine/engine.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::models {

/// Which of the scheduler's classes a model's requests have unless they ask for another.
enum class ServiceClass : std::uint8_t { kInteractive, kStandard, kBulk };

/// What to do with requests of one batch whose variable dimensions differ.
enum class RaggedPolicy : std::uint8_t {
  kSeparate,  ///< Only requests of equal shapes share a batch.
  kPad,       ///< Shorter ones are padded at the end with zeros along their variable dimensions.
};

/// What runs a model: engine::Engine::platform().
inline constexpr const char* kOnnxPlatform = "onnxruntime_onnx";
inline constexpr const char* kPythonPlatform = "python";
inline constexpr const char* kRemotePlatform = "remote";

struct TensorConfig {
  std::string name;
  tensor::DType dtype = tensor::DType::kFp32;
  /// As the protocol shows it, with the batch dimension first (-1) when the model batches.
  tensor::Shape shape;
  /// Triton's `reshape`: the shape the engine wants (batch dimension first when the model batches) where it
  /// is not `shape`. Both have equally many elements in a row; the inference service relabels the bytes.
  std::optional<tensor::Shape> engine_shape;
  bool optional = false;
  /// A number (rank 0) that all rows of a batch have in common: calls share a batch when it is the same.
  bool shared = false;
  std::string label_file;           ///< Below the model's folder; for the classification extension.
  std::vector<std::string> labels;  ///< Its lines.
};

/// A request to warm a model up with: zeros in these dimensions (no batch dimension).
struct WarmupConfig {
  std::string name;
  std::int64_t batch_size = 1;
  std::int64_t count = 1;
  std::map<std::string, std::vector<std::int64_t>> input_dims;  ///< For inputs with variable dimensions.
  std::set<std::string> random_inputs;  ///< Filled with random bits of small magnitude instead of zeros.
};

struct VersionPolicy {
  enum class Kind : std::uint8_t { kLatest, kAll, kSpecific };
  Kind kind = Kind::kLatest;
  std::int64_t latest_count = 1;
  std::vector<std::int64_t> versions;
};

/// Whether equal calls share results. Equal: the same version, inputs, parameters and requested outputs.
enum class CacheMode : std::uint8_t {
  kOff,
  kExact,         ///< A result is kept and answers equal calls.
  kSingleFlight,  ///< Equal calls at the same time share one execution; nothing is kept.
};

/// Who shares them.
enum class CacheScope : std::uint8_t {
  kTenant,  ///< The calls of one tenant.
  kPublic,  ///< Those of all tenants: a caller can tell by the time whether others asked the same.
};

/// `cache` of model.yaml.
struct CacheConfig {
  CacheMode mode = CacheMode::kOff;
  Duration ttl{};                            ///< Above zero with kExact, zero otherwise.
  Duration stale_while_revalidate{};         ///< After `ttl`, while one caller computes anew.
  ByteCount max_entry = ByteCount{1} << 20;  ///< Larger results are not kept.
  CacheScope scope = CacheScope::kTenant;
  bool shared = false;  ///< Also between hosts.
};

/// How one model is served: from model.yaml, or config.pbtxt, completed by what the model itself declares.
struct ModelConfig {
  std::string name;
  std::string platform;  ///< One of the above; empty until the model's files have told.
  std::string file;      ///< In the version's folder; empty: what the platform calls it.
  VersionPolicy version_policy;

  /// Rows of a batch; 0: the model has no batch dimension and requests run one by one.
  std::int64_t max_batch_size = 0;
  bool dynamic_batching = true;  ///< False: batches hold one request.
  Duration max_queue_delay{};    ///< Longest voluntary wait for a fuller batch while other work is there.
  std::vector<std::int64_t> preferred_batch_sizes;
  RaggedPolicy ragged = RaggedPolicy::kSeparate;

  std::vector<TensorConfig> inputs;
  std::vector<TensorConfig> outputs;

  std::int64_t instances =
      0;  ///< Batches of this model that may run at once; 0 until the loader has filled in the default.
  ServiceClass service_class = ServiceClass::kStandard;
  double weight = 1.0;
  std::uint64_t priority_levels = 0;  ///< Triton's schedule policy; 0: none.
  std::uint64_t default_priority = 0;
  std::optional<Duration> default_deadline;
  std::optional<Duration> default_queue_timeout;  ///< Triton's default_timeout_microseconds.
  bool allow_timeout_override = true;
  std::uint64_t max_queued = 0;  ///< Requests; 0: the server's default.

  std::vector<engine::ProviderChoice> providers;
  std::vector<std::pair<std::string, std::int64_t>> fixed_dims;
  int optimization_level = 2;
  engine::WorkerSettings worker;  ///< Of a Python model.
  engine::Upstream upstream;      ///< Of a remote one.
  std::vector<WarmupConfig> warmup;
  /// With no `warmup` of its own: zeros of one row and of max_batch_size rows, if all other dimensions are
  /// fixed.
  bool automatic_warmup = true;
  bool pinned = false;  ///< Loaded at start, never evicted.
  bool evictable = true;
  CacheConfig cache;
  ByteCount memory_hint{};  ///< Expected memory before the first load is measured; 0: from file sizes.
  std::map<std::string, std::string> parameters;
};

}  // namespace mezzo::models
