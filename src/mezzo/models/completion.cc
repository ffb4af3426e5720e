#include "mezzo/models/completion.h"

#include <algorithm>
#include <set>

#include "mezzo/base/strings.h"

namespace mezzo::models {
namespace {

using engine::SessionFacts;
using engine::TensorSpec;

Error Mismatch(const std::string& message) { return InvalidArgument("model_config_mismatch", message); }

std::string Quoted(std::string_view name) { return "'" + Printable(name) + "'"; }

std::string Names(const std::vector<TensorSpec>& specs) {
  std::string names;
  for (const TensorSpec& spec : specs) {
    if (names.size() > 512) return names + ", ...";
    names += (names.empty() ? "" : ", ") + Quoted(spec.name);
  }
  return names.empty() ? "none" : names;
}

/// Every dimension equal, or variable on either side.
bool Compatible(const tensor::Shape& a, const tensor::Shape& b) {
  if (a.rank() != b.rank()) return false;
  for (std::size_t i = 0; i < a.rank(); ++i) {
    if (a[i] != b[i] && a[i] != -1 && b[i] != -1) return false;
  }
  return true;
}

tensor::Shape WithBatch(const tensor::Shape& shape) {
  tensor::Shape batched{-1};
  for (const std::int64_t dim : shape.dims()) (void)batched.Append(dim);
  return batched;
}

/// Where dims may or may not count the batch dimension and the file does not say, their rank tells.
enum class Reading : std::uint8_t { kUnknown, kWithoutBatch, kWhole };

Reading ReadDims(const std::vector<TensorConfig>& declared, const std::vector<TensorSpec>& specs) {
  for (const TensorConfig& tensor : declared) {
    const tensor::Shape& shape = tensor.engine_shape.value_or(tensor.shape);
    for (const TensorSpec& spec : specs) {
      if (spec.name != tensor.name) continue;
      return shape.rank() + 1 == spec.shape.rank() ? Reading::kWithoutBatch : Reading::kWhole;
    }
  }
  return Reading::kUnknown;
}

void AddBatch(std::vector<TensorConfig>& tensors) {
  for (TensorConfig& tensor : tensors) {
    tensor.shape = WithBatch(tensor.shape);
    if (tensor.engine_shape.has_value()) tensor.engine_shape = WithBatch(*tensor.engine_shape);
  }
}

/// Decides max_batch_size where the file left it to the model.
void CompleteBatching(const DeclaredConfig& declared, const SessionFacts& facts,
                      std::int64_t default_max_batch, ModelConfig& config) {
  if (declared.has_max_batch_size) return;
  Reading reading = Reading::kUnknown;
  if (declared.dims_may_exclude_batch) {
    reading = ReadDims(config.inputs, facts.inputs);
    if (reading == Reading::kUnknown) reading = ReadDims(config.outputs, facts.outputs);
  }
  const bool fixed = std::any_of(config.inputs.begin(), config.inputs.end(), [&](const TensorConfig& tensor) {
    return !declared.pipeline_part && !declared.dims_may_exclude_batch &&
           (tensor.shape.rank() == 0 || tensor.shape[0] != -1);
  });
  const bool batchable = declared.pipeline_part ? IsBatchablePart(facts) : IsBatchable(facts);
  config.max_batch_size = batchable && reading != Reading::kWhole && !fixed ? default_max_batch : 0;
  if (config.max_batch_size > 0 && reading == Reading::kWithoutBatch) {
    AddBatch(config.inputs);
    AddBatch(config.outputs);
  }
}

TensorConfig FromSpec(const TensorSpec& spec) {
  TensorConfig tensor;
  tensor.name = spec.name;
  tensor.dtype = spec.dtype;
  tensor.shape = spec.shape;
  tensor.optional = spec.optional;
  return tensor;
}

/// One declared tensor against the model's.
Result<void> MatchTensor(const std::string& subject, const char* what, const TensorSpec& spec, bool batches,
                         const TensorConfig& tensor) {
  const std::string name = std::string(what) + " " + Quoted(tensor.name);
  if (tensor.dtype != spec.dtype) {
    return Mismatch(subject + name + " is declared as " + std::string(tensor::DTypeName(tensor.dtype)) +
                    ", but the model's is " + std::string(tensor::DTypeName(spec.dtype)));
  }
  const tensor::Shape& engine_shape = tensor.engine_shape.value_or(tensor.shape);
  if (!Compatible(engine_shape, spec.shape)) {
    return Mismatch(subject + name + " is declared with the shape " + engine_shape.ToString() +
                    (batches ? " (batch dimension included)" : "") + ", but the model's is " +
                    spec.shape.ToString());
  }
  return {};
}

Result<void> MatchInputs(const std::string& subject, const SessionFacts& facts, ModelConfig& config) {
  const bool batches = config.max_batch_size > 0;
  if (config.inputs.empty()) {
    for (const TensorSpec& spec : facts.inputs) {
      config.inputs.push_back(FromSpec(spec));
    }
    return {};
  }
  for (const TensorConfig& tensor : config.inputs) {
    const auto spec = std::find_if(facts.inputs.begin(), facts.inputs.end(),
                                   [&](const TensorSpec& s) { return s.name == tensor.name; });
    if (spec == facts.inputs.end()) {
      return Mismatch(subject + "input " + Quoted(tensor.name) + " is declared, but the model's inputs are " +
                      Names(facts.inputs));
    }
    MEZZO_TRY_VOID(MatchTensor(subject, "input", *spec, batches, tensor));
    if (tensor.optional && !spec->optional) {
      return Mismatch(subject + "input " + Quoted(tensor.name) +
                      " is declared optional, but the model needs it");
    }
  }
  for (const TensorSpec& spec : facts.inputs) {
    const bool declared = std::any_of(config.inputs.begin(), config.inputs.end(),
                                      [&](const TensorConfig& tensor) { return tensor.name == spec.name; });
    if (!declared && !spec.optional) {
      return Mismatch(subject + "the model's input " + Quoted(spec.name) + " is not declared");
    }
  }
  return {};
}

Result<void> MatchOutputs(const std::string& subject, const SessionFacts& facts, ModelConfig& config) {
  const bool batches = config.max_batch_size > 0;
  if (config.outputs.empty()) {
    for (const TensorSpec& spec : facts.outputs) {
      config.outputs.push_back(FromSpec(spec));
    }
    return {};
  }
  for (const TensorConfig& tensor : config.outputs) {
    const auto spec = std::find_if(facts.outputs.begin(), facts.outputs.end(),
                                   [&](const TensorSpec& s) { return s.name == tensor.name; });
    if (spec == facts.outputs.end()) {
      return Mismatch(subject + "output " + Quoted(tensor.name) +
                      " is declared, but the model's outputs are " + Names(facts.outputs));
    }
    MEZZO_TRY_VOID(MatchTensor(subject, "output", *spec, batches, tensor));
  }
  return {};
}

constexpr const char* kInput = "input";

/// A scalar that is no string.
bool IsNumber(const TensorSpec& spec) {
  return spec.shape.rank() == 0 && spec.dtype != tensor::DType::kBytes;
}

/// With max_batch_size the first dimension of everything is the batch.
Result<void> CheckBatchDimension(const std::string& subject, const SessionFacts& facts,
                                 const ModelConfig& config, bool part) {
  if (config.max_batch_size == 0) return {};
  const auto check = [&](const char* what, const TensorSpec& spec) -> Result<void> {
    if (part && what == kInput && IsNumber(spec)) return {};
    if (spec.shape.rank() > 0 && spec.shape[0] == -1) return {};
    return Mismatch(subject + "max_batch_size is " + std::to_string(config.max_batch_size) +
                    ", but the model's " + what + " " + Quoted(spec.name) + " has the shape " +
                    spec.shape.ToString() + " without a variable first dimension; set max_batch_size to 0");
  };
  for (const TensorSpec& spec : facts.inputs) MEZZO_TRY_VOID(check(kInput, spec));
  for (const TensorSpec& spec : facts.outputs) MEZZO_TRY_VOID(check("output", spec));
  return {};
}

Result<void> CheckWarmups(const std::string& subject, const ModelConfig& config) {
  for (const WarmupConfig& warmup : config.warmup) {
    const std::string name = subject + "warm-up " + Quoted(warmup.name);
    if (warmup.batch_size > std::max<std::int64_t>(config.max_batch_size, 1)) {
      return Mismatch(name + " has the batch size " + std::to_string(warmup.batch_size) +
                      "; max_batch_size is " + std::to_string(config.max_batch_size));
    }
    const auto known = [&config](const std::string& input) {
      return std::any_of(config.inputs.begin(), config.inputs.end(),
                         [&input](const TensorConfig& tensor) { return tensor.name == input; });
    };
    for (const auto& [input, dims] : warmup.input_dims) {
      if (!known(input))
        return Mismatch(name + " names the input " + Quoted(input) + ", which the model lacks");
    }
    for (const std::string& input : warmup.random_inputs) {
      if (!known(input))
        return Mismatch(name + " names the input " + Quoted(input) + ", which the model lacks");
    }
  }
  return {};
}

bool Varies(const TensorSpec& spec) { return spec.shape.rank() > 0 && spec.shape[0] == -1; }

}  // namespace

bool IsBatchablePart(const SessionFacts& facts) {
  const auto fits = [](const TensorSpec& spec) { return Varies(spec) || IsNumber(spec); };
  return std::any_of(facts.inputs.begin(), facts.inputs.end(), Varies) && !facts.outputs.empty() &&
         std::all_of(facts.inputs.begin(), facts.inputs.end(), fits) &&
         std::all_of(facts.outputs.begin(), facts.outputs.end(), Varies);
}

bool IsBatchable(const SessionFacts& facts) {
  std::set<std::string_view> symbols;
  const auto varies = [&symbols](const TensorSpec& spec) {
    if (!Varies(spec)) return false;
    // tf2onnx numbers the dimensions it knows nothing about; such a name says no more than none.
    const bool named =
        !spec.symbols.empty() && !spec.symbols[0].empty() && !spec.symbols[0].starts_with("unk__");
    if (named) symbols.insert(spec.symbols[0]);
    return true;
  };
  if (facts.inputs.empty() || facts.outputs.empty()) return false;
  const bool all = std::all_of(facts.inputs.begin(), facts.inputs.end(), varies) &&
                   std::all_of(facts.outputs.begin(), facts.outputs.end(), varies);
  return all && symbols.size() <= 1;
}

Result<ModelConfig> CompleteConfig(const DeclaredConfig& declared, const SessionFacts& facts,
                                   std::int64_t default_max_batch) {
  ModelConfig config = declared.config;
  const std::string subject = (declared.source.empty() ? "model" : declared.source) + ": ";
  CompleteBatching(declared, facts, default_max_batch, config);
  MEZZO_TRY_VOID(CheckBatchDimension(subject, facts, config, declared.pipeline_part));
  MEZZO_TRY_VOID(MatchInputs(subject, facts, config));
  MEZZO_TRY_VOID(MatchOutputs(subject, facts, config));
  if (declared.pipeline_part && config.max_batch_size > 0) {
    for (TensorConfig& input : config.inputs) {
      input.shared = input.shape.rank() == 0 && input.dtype != tensor::DType::kBytes;
    }
  }
  for (const std::int64_t size : config.preferred_batch_sizes) {
    if (config.max_batch_size > 0 && size > config.max_batch_size) {
      return Mismatch(subject + "the preferred batch size " + std::to_string(size) +
                      " is above max_batch_size " + std::to_string(config.max_batch_size));
    }
  }
  MEZZO_TRY_VOID(CheckWarmups(subject, config));
  return config;
}

}  // namespace mezzo::models
