#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry.h"
#include "mezzo/lifecycle/version_uploads.h"

namespace mezzo::api::platform {

// Bodies and answers of /v1/registry. Failures of bodies are kInvalidArgument "request_member", naming the
// member and what it must be.

nlohmann::ordered_json ToJson(const lifecycle::ModelRecord& model);
nlohmann::ordered_json ToJson(const lifecycle::VersionRecord& version);
nlohmann::ordered_json ToJson(const lifecycle::RegistryEvent& event);
nlohmann::ordered_json ToJson(const lifecycle::RegistryMoment& moment);
nlohmann::ordered_json ToJson(const lifecycle::VersionUploads::Progress& progress);
nlohmann::ordered_json FilesJson(const std::vector<lifecycle::ManifestFile>& files);

/// {"name", "description", "tenant", "tags": {}}.
Result<lifecycle::NewModel> ParseNewModel(std::string_view body);

struct ModelPatch {
  lifecycle::ModelChange change;
  std::optional<std::string> name;  ///< The new one.
};
/// {"name", "description", "tenant", "if_revision"}.
Result<ModelPatch> ParseModelPatch(std::string_view body);

/// {"files": [{"path", "sha256", "bytes"}], "description", "stage", "tags", "lineage": {"data", "code",
/// "metrics": {}, "parent", "run_id", "source"}}. Errors also those of Manifest::Make().
Result<lifecycle::NewVersion> ParseNewVersion(std::string_view body, const lifecycle::ManifestLimits& limits);

struct VersionPatch {
  lifecycle::VersionChange change;
  std::optional<lifecycle::VersionState> state;  ///< kReady or kArchived.
};
/// {"description", "stage", "state": "archived", "if_revision"}.
Result<VersionPatch> ParseVersionPatch(std::string_view body);

struct AliasRequest {
  std::int64_t version = 0;
  std::optional<std::int64_t> if_version;
};
/// {"version", "if_version"}.
Result<AliasRequest> ParseAlias(std::string_view body);

/// {"key", "value"}.
Result<std::pair<std::string, std::string>> ParseTag(std::string_view body);

}  // namespace mezzo::api::platform
