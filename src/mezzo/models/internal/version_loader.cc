#include "mezzo/models/internal/version_loader.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/models/completion.h"
#include "mezzo/models/repository.h"

namespace mezzo::models::internal {
namespace {

constexpr std::size_t kMaxLabelBytes = std::size_t{16} << 20;

/// One label a line; a last line without its end counts, Windows line ends don't.
std::vector<std::string> ReadLabels(std::string_view text) {
  std::vector<std::string> labels;
  for (std::string_view line : Split(text, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
  }
  if (!labels.empty() && labels.back().empty()) labels.pop_back();
  return labels;
}

/// A warm-up's dims for one input, or nothing when the shape leaves some open.
std::optional<tensor::Shape> WarmupShape(const TensorConfig& input, const WarmupConfig& warmup,
                                         bool batches) {
  tensor::Shape shape;
  if (batches) (void)shape.Append(warmup.batch_size);
  const auto given = warmup.input_dims.find(input.name);
  if (given != warmup.input_dims.end()) {
    for (const std::int64_t dim : given->second) {
      if (!shape.Append(dim)) return std::nullopt;
    }
    return shape;
  }
  const tensor::Shape& declared = input.engine_shape.value_or(input.shape);
  for (std::size_t i = batches ? 1 : 0; i < declared.rank(); ++i) {
    if (declared[i] < 0 || !shape.Append(declared[i])) return std::nullopt;
  }
  return shape;
}

/// Zeros, or random bits that are small numbers in every type: each element's lowest byte only. (As floating
/// point these are tiny, as indices small, as booleans valid.)
Result<tensor::Tensor> MakeInput(const TensorConfig& input, const tensor::Shape& shape, bool random) {
  tensor::Tensor made{.dtype = input.dtype, .shape = shape, .data = {}};
  if (input.dtype == tensor::DType::kBytes) {
    MEZZO_TRY(const std::uint64_t count, tensor::ElementCount(shape));
    if (count > (std::uint64_t{1} << 24)) return ResourceExhausted("warmup_too_large", "too many strings");
    made.data = SharedBytes::FromString(std::string(count * 4, '\0'));  // Empty strings: lengths of zero.
    return made;
  }
  MEZZO_TRY(const ByteCount bytes, tensor::ByteSize(input.dtype, shape));
  if (bytes > (ByteCount{4} << 30)) {
    return ResourceExhausted("warmup_too_large", "input '" + Printable(input.name) + "' of shape " +
                                                     shape.ToString() + " needs " + FormatBytes(bytes) +
                                                     "; the limit is 4 GiB");
  }
  const auto buffer = tensor::AllocateBuffer(bytes);
  std::fill_n(buffer.data(), bytes, std::byte{0});
  if (random) {
    const std::size_t step = tensor::DTypeSize(input.dtype);
    std::uint32_t state = 0x2545f491;
    for (std::size_t i = 0; i < bytes; i += step) {
      state = state * 1664525U + 1013904223U;
      buffer.data()[i] =
          static_cast<std::byte>((state >> 24) & (input.dtype == tensor::DType::kBool ? 1U : 7U));
    }
  }
  made.data = buffer.Share();
  return made;
}

Error WarmupError(const WarmupConfig& warmup, const Error& error) {
  const std::string name = warmup.name.empty() ? "" : " '" + Printable(warmup.name) + "'";
  return {error.code(), "warmup_failed",
          "warm-up" + name + " with batch size " + std::to_string(warmup.batch_size) +
              " failed: " + error.message()};
}

/// Runs one warm-up `count` times. False when its shapes are not known (only an automatic one may leave it at
/// that).
Result<bool> RunWarmup(engine::Session& session, const ModelConfig& config, const WarmupConfig& warmup,
                       ByteCount max_bytes) {
  const auto& facts = session.facts();
  std::vector<tensor::Tensor> tensors;
  std::vector<const TensorConfig*> belongs;
  ByteCount bytes = 0;
  for (const engine::TensorSpec& spec : facts.inputs) {
    const auto input = std::find_if(config.inputs.begin(), config.inputs.end(),
                                    [&spec](const TensorConfig& t) { return t.name == spec.name; });
    belongs.push_back(input == config.inputs.end() ? nullptr : &*input);
    tensors.emplace_back();
    if (input == config.inputs.end()) continue;
    const auto shape = WarmupShape(*input, warmup, config.max_batch_size > 0);
    if (!shape.has_value()) return false;
    if (const auto size = tensor::ByteSize(input->dtype, *shape);
        input->dtype != tensor::DType::kBytes && size.ok() && (bytes += *size) > max_bytes) {
      return false;
    }
    auto made = MakeInput(*input, *shape, warmup.random_inputs.contains(input->name));
    if (!made.ok()) return WarmupError(warmup, made.error());
    tensors.back() = std::move(made).value();
  }
  std::vector<const tensor::Tensor*> inputs;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    inputs.push_back(belongs[i] == nullptr ? nullptr : &tensors[i]);
  std::vector<std::size_t> wanted(facts.outputs.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = i;
  for (std::int64_t run = 0; run < warmup.count; ++run) {
    const auto outputs = session.Run(inputs, wanted, nullptr);
    if (!outputs.ok()) return WarmupError(warmup, outputs.error());
  }
  return true;
}

}  // namespace

Result<void> WarmUp(engine::Session& session, const ModelConfig& config, ByteCount max_automatic_bytes) {
  for (const WarmupConfig& warmup : config.warmup) {
    MEZZO_TRY(const bool ran, RunWarmup(session, config, warmup, UINT64_MAX));
    if (!ran) {
      return InvalidArgument("warmup_failed", "warm-up '" + Printable(warmup.name) +
                                                  "' must give the dimensions of every input that varies");
    }
  }
  if (!config.warmup.empty() || !config.automatic_warmup) return {};
  // What a model makes of empty strings is its own business: they would fail many a good one.
  for (const auto& spec : session.facts().inputs) {
    if (spec.dtype == tensor::DType::kBytes) return {};
  }
  WarmupConfig automatic;
  MEZZO_TRY(const bool ran, RunWarmup(session, config, automatic, max_automatic_bytes));
  if (ran && config.max_batch_size > 1) {
    automatic.batch_size = config.max_batch_size;
    MEZZO_TRY_VOID(RunWarmup(session, config, automatic, max_automatic_bytes));
  }
  return {};
}

Result<std::unique_ptr<ModelVersion>> VersionLoader::Load(const Source& source, std::int64_t version) const {
  if (source.problem.has_value()) return *source.problem;
  const VersionFolder* folder = source.folder.Find(version);
  if (folder == nullptr) {
    return NotFound("version_unknown", "version " + std::to_string(version) + " has no folder");
  }
  const ModelConfig& declared = source.declared.config;
  const TimePoint start = clock_.Now();
  engine::LoadRequest request;
  MEZZO_TRY(request.model_path, FindModelFile(*folder, declared.file));
  request.providers = declared.providers.empty() ? options_.default_providers : declared.providers;
  request.optimization_level = declared.optimization_level;
  request.fixed_dims = declared.fixed_dims;
  auto loaded = std::make_unique<ModelVersion>();
  MEZZO_TRY(loaded->session, engine_.Load(request));
  MEZZO_TRY(ModelConfig config,
            CompleteConfig(source.declared, loaded->session->facts(), options_.default_max_batch));
  config.platform = engine_.platform();
  config.providers = request.providers;
  for (TensorConfig& output : config.outputs) {
    if (output.label_file.empty()) continue;
    MEZZO_TRY(const std::string text, ReadFileBelow(source.folder.path, output.label_file, kMaxLabelBytes));
    output.labels = ReadLabels(text);
  }
  MEZZO_TRY_VOID(WarmUp(*loaded->session, config, options_.max_warmup_bytes));
  loaded->name = ModelName(source.folder.name);
  loaded->version = version;
  loaded->version_text = std::to_string(version);
  loaded->config = std::make_shared<const ModelConfig>(std::move(config));
  loaded->memory_bytes = loaded->session->facts().memory_bytes;
  loaded->load_time = clock_.Now() - start;
  return loaded;
}

}  // namespace mezzo::models::internal
