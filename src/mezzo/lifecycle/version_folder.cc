#include "mezzo/lifecycle/version_folder.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/models/repository.h"

namespace mezzo::lifecycle {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModelFile = "model.onnx";

using Parse = Result<models::DeclaredConfig> (*)(std::string_view text, std::string_view source);
constexpr std::pair<const char*, Parse> kConfigFiles[] = {{"model.yaml", &models::ParseModelYaml},
                                                          {"config.pbtxt", &models::ParseConfigPbtxt}};

Error Unfit(const std::string& what) { return InvalidArgument("version_files", what); }

/// Counts the files, and finds those that no version may have.
Result<void> Walk(const fs::path& folder, const std::string& relative, int depth, VersionFolderContent& out) {
  if (depth > kMaxVersionDepth) {
    return Unfit(fmt::format("'{}' lies more than {} folders deep", Printable(relative), kMaxVersionDepth));
  }
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = relative + at->path().filename().string();
    if (++out.files > kMaxVersionFiles) return Unfit(fmt::format("more than {} files", kMaxVersionFiles));
    const fs::file_status status = at->symlink_status(failed);
    if (failed) break;
    switch (status.type()) {
      case fs::file_type::directory:
        MEZZO_TRY_VOID(Walk(at->path(), name + "/", depth + 1, out));
        break;
      case fs::file_type::regular:
        out.bytes += at->file_size(failed);
        break;
      case fs::file_type::symlink:
        return Unfit("'" + Printable(name) + "' is a symbolic link");
      default:
        return Unfit("'" + Printable(name) + "' is neither a file nor a folder");
    }
    if (failed) break;
  }
  if (failed) return Unfit("'" + Printable(relative) + "' can't be read: " + failed.message());
  return {};
}

bool IsNumbered(const fs::path& folder) {
  return models::ParseVersion(folder.filename().string()).has_value();
}

fs::path WithoutSlash(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

Result<models::DeclaredConfig> ReadConfig(const fs::path& folder) {
  std::vector<fs::path> places = {folder};
  if (IsNumbered(folder)) places.push_back(folder.parent_path());
  for (const fs::path& place : places) {
    for (const auto& [file, parse] : kConfigFiles) {
      const auto text = models::ReadFileBelow(place.string(), file, models::ConfigLimits::kMaxFileBytes);
      if (text.ok()) return parse(*text, file);
      if (text.error().code() != Code::kNotFound) return text.error();
    }
  }
  return models::DeclaredConfig();
}

/// The folders below a pipeline that hold a model, by name.
Result<std::vector<VersionPart>> PartsOf(const fs::path& folder) {
  std::vector<VersionPart> parts;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    std::error_code none;
    if (!fs::is_regular_file(at->path() / kModelFile, none)) continue;
    VersionPart part;
    part.name = at->path().filename().string();
    if (!IsSafeName(part.name))
      return Unfit("'" + Printable(part.name) + "' is no name of a pipeline's part");
    part.model_path = (at->path() / kModelFile).string();
    part.declared.pipeline_part = true;
    part.declared.config.name = part.name;
    parts.push_back(std::move(part));
  }
  if (failed) return Unfit("the version's folder can't be read: " + failed.message());
  if (parts.empty()) {
    return InvalidArgument("version_platform",
                           "the pipeline has no part with a model.onnx: what Python runs can't be tested");
  }
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return parts;
}

Result<VersionPart> ModelOf(const fs::path& folder) {
  VersionPart part;
  MEZZO_TRY(part.declared, ReadConfig(folder));
  const models::ModelConfig& config = part.declared.config;
  std::error_code none;
  const bool is_python = config.platform.empty() && config.file.empty() &&
                         !fs::exists(folder / kModelFile, none) && fs::exists(folder / "model.py", none);
  if (is_python || !config.upstream.url.empty() ||
      (!config.platform.empty() && config.platform != models::kOnnxPlatform)) {
    return InvalidArgument("version_platform",
                           "only ONNX models can be tested in a process of their own, not " +
                               Printable(is_python                      ? models::kPythonPlatform
                                         : !config.upstream.url.empty() ? models::kRemotePlatform
                                                                        : config.platform));
  }
  const models::VersionFolder version{.version = 1, .path = folder.string()};
  MEZZO_TRY(part.model_path,
            models::FindModelFile(version, config.file.empty() ? kModelFile : std::string_view(config.file)));
  return part;
}

}  // namespace

Result<VersionFolderContent> ReadVersionFolder(const std::string& given) {
  const fs::path folder = WithoutSlash(given);
  VersionFolderContent out;
  std::error_code failed;
  if (!fs::is_directory(folder, failed)) {
    return NotFound("model_file_missing", "'" + Printable(folder.string(), 256) + "' is no folder");
  }
  MEZZO_TRY_VOID(Walk(folder, "", 0, out));
  if (fs::exists(folder / models::kPipelineFile, failed)) {
    MEZZO_TRY(out.parts, PartsOf(folder));
  } else {
    MEZZO_TRY(VersionPart part, ModelOf(folder));
    out.parts.push_back(std::move(part));
  }
  return out;
}

}  // namespace mezzo::lifecycle
