#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::api::mlflow {

/// Where the files of a new version come from. Always from this server, never from its disk or the network.
struct ModelSource {
  enum class Kind : std::uint8_t {
    kRun,      ///< "runs:/<run>/<folder>", "mlflow-artifacts:/runs/<run>/<folder>"
    kLogged,   ///< "models:/m-<id>", "mlflow-artifacts:/models/<id>"
    kVersion,  ///< "models:/<name>/<version>", "models:/<name>@<alias>", "mlflow-artifacts:/versions/…"
  };
  Kind kind = Kind::kRun;
  std::string id;      ///< Of the run or logged model; the registered model's name.
  std::string folder;  ///< Of a run's or logged model's files; may be empty.
  std::string name;    ///< Of the version: a number, an alias or "latest".

  friend bool operator==(const ModelSource&, const ModelSource&) = default;
};

/// Fails with kInvalidArgument "mlflow_source" for everything else: paths, file:, http:, s3:, a server in an
/// mlflow-artifacts: URI, a folder with "." or "..".
Result<ModelSource> ParseSource(std::string_view source);

/// Where clients find the files: "mlflow-artifacts:/runs/<id>" and so on.
std::string RunUri(std::string_view run);
std::string LoggedModelUri(std::string_view model);
std::string VersionUri(std::string_view model, std::int64_t version);

/// A path below /api/2.0/mlflow-artifacts/artifacts, which is what those URIs name: "runs/<id>/a/b". Its
/// folder is the file's path here and may be empty. Same errors.
Result<ModelSource> ParseArtifactPath(std::string_view path);

}  // namespace mezzo::api::mlflow
