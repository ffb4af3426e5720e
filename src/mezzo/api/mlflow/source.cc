#include "mezzo/api/mlflow/source.h"

#include <algorithm>

#include "mezzo/base/strings.h"

namespace mezzo::api::mlflow {
namespace {

constexpr std::string_view kArtifacts = "mlflow-artifacts:/";
constexpr std::string_view kRuns = "runs:/";
constexpr std::string_view kModels = "models:/";
constexpr std::size_t kLongest = 1024;

Error Bad(std::string_view source, const std::string& why) {
  return InvalidArgument("mlflow_source", "the source '" + Printable(source, 200) + "' " + why);
}
Error Foreign(std::string_view source) {
  return Bad(source,
             "is nothing that this server has: a version is made of artifacts that were logged here, "
             "'runs:/<run>/<folder>', 'models:/m-<id>', 'models:/<name>/<version>' or "
             "'mlflow-artifacts:/…' without a server; never of a path or of another server");
}

bool IsLoggedModelId(std::string_view text) { return text.starts_with("m-") && IsSafeName(text); }

/// Takes the first part off.
std::string_view TakePart(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view part = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return part;
}

/// The rest is a folder below what was named. Characters that only look like parts are refused later, where
/// names of files are checked.
Result<std::string> FolderOf(std::string_view source, std::string_view rest) {
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) return std::string();
  for (const std::string_view part : Split(rest, '/')) {
    if (part.empty() || part == "." || part == "..") return Bad(source, "has an empty part, '.' or '..'");
    if (part.find_first_of("\\%?#") != std::string_view::npos) {
      return Bad(source, "has a part with a backslash, '%', '?' or '#'");
    }
  }
  return std::string(rest);
}

Result<ModelSource> OfPath(std::string_view source, std::string_view rest) {
  ModelSource found;
  const std::string_view kind = TakePart(rest);
  const std::string_view id = TakePart(rest);
  if (!IsSafeName(id)) return Foreign(source);
  found.id = id;
  if (kind == "runs") {
    found.kind = ModelSource::Kind::kRun;
  } else if (kind == "models") {
    found.kind = ModelSource::Kind::kLogged;
  } else if (kind == "versions") {
    found.kind = ModelSource::Kind::kVersion;
    found.name = TakePart(rest);
    if (!ParseUint(found.name)) return Foreign(source);
  } else {
    return Foreign(source);
  }
  MEZZO_TRY(found.folder, FolderOf(source, rest));
  return found;
}

}  // namespace

Result<ModelSource> ParseSource(std::string_view source) {
  if (source.size() > kLongest) {
    return Bad(source,
               "has " + std::to_string(source.size()) + " bytes; the limit is " + std::to_string(kLongest));
  }
  std::string_view rest = source;
  if (source.starts_with(kArtifacts)) {
    rest.remove_prefix(kArtifacts.size());
    if (rest.starts_with('/')) return Foreign(source);  // Names a server.
    MEZZO_TRY(ModelSource found, OfPath(source, rest));
    if (found.kind == ModelSource::Kind::kVersion && !found.folder.empty()) {
      return Bad(source, "is a folder of a version: only the whole can be another version");
    }
    return found;
  }
  if (source.starts_with(kRuns)) {
    rest.remove_prefix(kRuns.size());
    ModelSource found{
        .kind = ModelSource::Kind::kRun, .id = std::string(TakePart(rest)), .folder = "", .name = ""};
    if (!IsSafeName(found.id)) return Foreign(source);
    MEZZO_TRY(found.folder, FolderOf(source, rest));
    return found;
  }
  if (source.starts_with(kModels)) {
    rest.remove_prefix(kModels.size());
    ModelSource found;
    const std::string_view first = TakePart(rest);
    const std::size_t at = first.find('@');
    if (at != std::string_view::npos || !rest.empty()) {
      found.kind = ModelSource::Kind::kVersion;
      found.id = first.substr(0, at);
      found.name = at == std::string_view::npos ? TakePart(rest) : first.substr(at + 1);
      if (!IsSafeName(found.id) || !IsSafeName(found.name)) return Foreign(source);
      if (!rest.empty())
        return Bad(source, "is a folder of a version: only the whole can be another version");
      return found;
    }
    if (!IsLoggedModelId(first)) return Foreign(source);
    found.kind = ModelSource::Kind::kLogged;
    found.id = first;
    return found;
  }
  return Foreign(source);
}

Result<ModelSource> ParseArtifactPath(std::string_view path) { return OfPath(path, path); }

std::string RunUri(std::string_view run) { return std::string(kArtifacts) + "runs/" + std::string(run); }
std::string LoggedModelUri(std::string_view model) {
  return std::string(kArtifacts) + "models/" + std::string(model);
}
std::string VersionUri(std::string_view model, std::int64_t version) {
  return std::string(kArtifacts) + "versions/" + std::string(model) + "/" + std::to_string(version);
}

}  // namespace mezzo::api::mlflow
