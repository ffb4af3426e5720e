#include "mezzo/models/internal/source.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/models/internal/platform.h"

namespace mezzo::models::internal {
namespace {

using Parse = Result<DeclaredConfig> (*)(std::string_view text, std::string_view source);
constexpr std::pair<const char*, Parse> kConfigFiles[] = {{"model.yaml", &ParseModelYaml},
                                                          {"config.pbtxt", &ParseConfigPbtxt}};

Result<DeclaredConfig> ReadDeclared(const ModelFolder& folder) {
  for (const auto& [file, parse] : kConfigFiles) {
    const auto text = ReadFileBelow(folder.path, file, ConfigLimits::kMaxFileBytes);
    if (text.ok()) return parse(*text, file);
    if (text.error().code() != Code::kNotFound) return text.error();
  }
  return DeclaredConfig();
}

/// Which versions of a pipeline are served is said once for all of its parts: beside its versions.
Result<void> ReadPipelinePolicy(const ModelFolder& part, VersionPolicy& policy) {
  if (part.pipeline.empty()) return {};
  const char* file = kConfigFiles[0].first;
  const auto text = ReadFileBelow(part.root + "/" + part.pipeline, file, ConfigLimits::kMaxFileBytes);
  if (!text.ok()) return text.error().code() == Code::kNotFound ? Result<void>() : text.error();
  MEZZO_TRY(const DeclaredConfig declared, ParseModelYaml(*text, part.pipeline + "/" + file));
  policy = declared.config.version_policy;
  return {};
}

std::optional<Error> CheckName(const DeclaredConfig& declared, const std::string& name) {
  if (declared.config.name.empty() || declared.config.name == name) return std::nullopt;
  return InvalidArgument("model_config_invalid", declared.source + ": the model's name is '" +
                                                     Printable(declared.config.name) +
                                                     "', but its folder is '" + name + "'");
}

/// What a version's own files declare.
Result<DeclaredConfig> ReadOwn(const ModelFolder& model, const VersionFolder& version) {
  ModelFolder alone = model;
  alone.path = version.path;
  alone.versions = {version};
  MEZZO_TRY(DeclaredConfig declared, ReadDeclared(alone));
  if (auto problem = CheckName(declared, model.name)) return *std::move(problem);
  declared.pipeline_part = !model.pipeline.empty();
  declared.config.name = model.name;
  CompletePlatform(declared.config, alone, /*foreign=*/false);
  return declared;
}

void Complete(Source& source) {
  ModelConfig& config = source.declared.config;
  const std::string& name = source.folder.name;
  if (!source.problem.has_value()) source.problem = CheckName(source.declared, name);
  source.declared.pipeline_part = !source.folder.pipeline.empty();
  config.name = name;
  CompletePlatform(config, source.folder, /*foreign=*/source.overrides != nullptr);
  source.config = std::make_shared<const ModelConfig>(config);
  if (source.problem.has_value()) return;
  std::vector<std::int64_t> available;
  for (const VersionFolder& folder : source.folder.versions) available.push_back(folder.version);
  source.wanted = ApplyVersionPolicy(config.version_policy, available);
  if (source.wanted.empty()) {
    source.problem = InvalidArgument(
        "no_version",
        "at least one version must be available under the version policy of model '" + name + "'");
  }
}

}  // namespace

std::vector<std::int64_t> ApplyVersionPolicy(const VersionPolicy& policy,
                                             const std::vector<std::int64_t>& available) {
  if (policy.kind == VersionPolicy::Kind::kAll) return available;
  if (policy.kind == VersionPolicy::Kind::kLatest) {
    const auto count = std::min(static_cast<std::size_t>(policy.latest_count), available.size());
    return {available.end() - static_cast<std::ptrdiff_t>(count), available.end()};
  }
  std::vector<std::int64_t> wanted;
  std::copy_if(
      available.begin(), available.end(), std::back_inserter(wanted), [&policy](std::int64_t version) {
        return std::find(policy.versions.begin(), policy.versions.end(), version) != policy.versions.end();
      });
  return wanted;
}

std::shared_ptr<Source> ReadSource(ModelFolder folder, bool every_version) {
  auto source = std::make_shared<Source>();
  source->folder = std::move(folder);
  source->stamp = source->folder.Stamp();
  source->problem = source->folder.problem;
  if (every_version && !source->problem.has_value()) {
    for (const VersionFolder& version : source->folder.versions) {
      source->own.emplace(version.version, ReadOwn(source->folder, version));
    }
    // Where no version is meant, the newest that can be read stands for all.
    for (const auto& [version, own] : source->own) {
      if (own.ok()) source->declared = *own;
    }
    const bool none = !source->own.empty() && std::none_of(source->own.begin(), source->own.end(),
                                                           [](const auto& each) { return each.second.ok(); });
    if (none) source->problem = source->own.rbegin()->second.error();
  } else if (!source->problem.has_value()) {
    auto declared = ReadDeclared(source->folder);
    if (declared.ok()) {
      source->declared = std::move(declared).value();
      auto read = ReadPipelinePolicy(source->folder, source->declared.config.version_policy);
      if (!read.ok()) source->problem = std::move(read).error();
    } else {
      source->problem = declared.error();
    }
  }
  if (every_version) source->declared.config.version_policy.kind = VersionPolicy::Kind::kAll;
  Complete(*source);
  return source;
}

std::shared_ptr<Source> MakeOverrideSource(ModelFolder folder, DeclaredConfig declared,
                                           std::shared_ptr<const OverrideDir> overrides) {
  auto source = std::make_shared<Source>();
  source->folder = std::move(folder);
  source->problem = source->folder.problem;
  source->declared = std::move(declared);
  source->overrides = std::move(overrides);
  Complete(*source);
  return source;
}

}  // namespace mezzo::models::internal
