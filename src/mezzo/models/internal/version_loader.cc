#include "mezzo/models/internal/version_loader.h"

#include <algorithm>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/models/completion.h"
#include "mezzo/models/repository.h"
#include "mezzo/models/warmup.h"

namespace mezzo::models::internal {
namespace {

/// Requests to an upstream at a time.
constexpr std::int64_t kRemoteInstances = 8;
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

std::vector<engine::TensorSpec> ToSpecs(const std::vector<TensorConfig>& tensors) {
  std::vector<engine::TensorSpec> specs;
  for (const TensorConfig& tensor : tensors) {
    specs.push_back({.name = tensor.name,
                     .dtype = tensor.dtype,
                     .shape = tensor.engine_shape.value_or(tensor.shape),
                     .optional = tensor.optional});
  }
  return specs;
}

}  // namespace

std::int64_t VersionLoader::DefaultInstances(const std::string& platform) const {
  if (platform == kPythonPlatform) return 1;  // Each is a process with a copy of the model.
  return platform == kRemotePlatform ? kRemoteInstances : options_.default_instances;
}

Result<std::unique_ptr<ModelVersion>> VersionLoader::Load(const Source& source, std::int64_t version) const {
  if (source.problem.has_value()) return *source.problem;
  const VersionFolder* folder = source.folder.Find(version);
  if (folder == nullptr) {
    return NotFound("version_unknown", "version " + std::to_string(version) + " has no folder");
  }
  const auto own = source.own.find(version);
  if (own != source.own.end() && !own->second.ok()) return own->second.error();
  const DeclaredConfig& of_version = own == source.own.end() ? source.declared : *own->second;
  const ModelConfig& declared = of_version.config;
  const TimePoint start = clock_.Now();
  std::vector<FileState> files;  // Before the engine reads any.
  if (declared.cache.mode != CacheMode::kOff) {
    MEZZO_TRY(files, FilesOf(folder->path));
  }
  engine::LoadRequest request;
  request.model = source.folder.name;
  request.platform = declared.platform;
  if (declared.platform == kRemotePlatform) {
    request.model_path = folder->path;
  } else {
    MEZZO_TRY(request.model_path, FindModelFile(*folder, declared.file));
  }
  request.instances = declared.instances > 0 ? declared.instances : DefaultInstances(declared.platform);
  request.worker = declared.worker;
  request.upstream = declared.upstream;
  if (!of_version.dims_may_exclude_batch) {
    request.declared_inputs = ToSpecs(declared.inputs);
    request.declared_outputs = ToSpecs(declared.outputs);
  }
  request.providers = declared.providers.empty() ? options_.default_providers : declared.providers;
  request.optimization_level = declared.optimization_level;
  request.fixed_dims = declared.fixed_dims;
  auto loaded = std::make_unique<ModelVersion>();
  MEZZO_TRY(loaded->session, engine_.Load(request));
  MEZZO_TRY(ModelConfig config,
            CompleteConfig(of_version, loaded->session->facts(), options_.default_max_batch));
  config.instances = request.instances;
  config.providers = request.providers;
  for (TensorConfig& output : config.outputs) {
    if (output.label_file.empty()) continue;
    const std::string& labels = own == source.own.end() ? source.folder.path : folder->path;
    MEZZO_TRY(const std::string text, ReadFileBelow(labels, output.label_file, kMaxLabelBytes));
    output.labels = ReadLabels(text);
  }
  MEZZO_TRY(loaded->timing, WarmUp(*loaded->session, config, options_.max_warmup_bytes, clock_));
  loaded->folder = folder->path;
  loaded->files = std::move(files);
  loaded->name = ModelName(source.folder.name);
  loaded->version = version;
  loaded->version_text = std::to_string(version);
  loaded->config = std::make_shared<const ModelConfig>(std::move(config));
  loaded->memory_bytes = loaded->session->facts().memory_bytes;
  loaded->load_time = clock_.Now() - start;
  return loaded;
}

}  // namespace mezzo::models::internal
