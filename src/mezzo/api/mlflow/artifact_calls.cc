#include <algorithm>
#include <cstdint>
#include <utility>

#include "mezzo/api/absolute_url.h"
#include "mezzo/api/mlflow/internal/calls.h"
#include "mezzo/api/mlflow/mlflow_error.h"
#include "mezzo/api/mlflow/mlflow_handler.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/version_uploads.h"

// The place of files: "runs/<id>/…", "models/<id>/…" and, for reading, "versions/<model>/<version>/…".

namespace mezzo::api::mlflow {
namespace {

using namespace internal;  // NOLINT(google-build-using-namespace): the routes' ids.
using tenancy::Scope;

lifecycle::ArtifactPlace PlaceOf(const RoutedCall& call, const ModelSource& source) {
  return {.tenant = TenantOf(call), .owner = source.id, .path = source.folder};
}

Error NoArtifact(std::string_view path) {
  return NotFound("tracking_artifact_unknown", "there is no artifact '" + Printable(path, 200) + "'");
}

Result<void> CheckChangeable(const ModelSource& source) {
  if (source.kind != ModelSource::Kind::kVersion) return {};
  return PermissionDenied("mlflow_version_files", "the files of version " + source.name + " of model '" +
                                                      source.id + "' never change");
}

}  // namespace

MlflowHandler::Answer MlflowHandler::PutArtifact(const RoutedCall& call) const {
  MEZZO_TRY(const ModelSource source, ParseArtifactPath(call.captures[0]));
  MEZZO_TRY_VOID(CheckChangeable(source));
  MEZZO_TRY_VOID(ports_.artifacts.Put(PlaceOf(call, source), call.request->body().view(), StoreLimit()));
  return Nothing();
}

MlflowHandler::Answer MlflowHandler::DeleteArtifact(const RoutedCall& call) const {
  MEZZO_TRY(const ModelSource source, ParseArtifactPath(call.captures[0]));
  MEZZO_TRY_VOID(CheckChangeable(source));
  MEZZO_TRY(const std::size_t gone, ports_.tracking.DeleteArtifacts(PlaceOf(call, source), Limit()));
  if (gone == 0) return NoArtifact(call.captures[0]);
  return Nothing();
}

MlflowHandler::Answer MlflowHandler::PartsCall(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(ModelSource source, ParseArtifactPath(call.captures[0]));
  MEZZO_TRY_VOID(CheckChangeable(source));
  // The path on the client's disk, of which the name counts.
  MEZZO_TRY(const std::string local, params.Text("path"));
  const std::string name = local.substr(local.find_last_of("/\\") + 1);
  if (name.empty()) return InvalidArgument("mlflow_member", "'path' must end in the name of a file");
  lifecycle::ArtifactPlace place = PlaceOf(call, source);
  place.path += (place.path.empty() ? "" : "/") + name;
  if (call.route == kBeginParts) {
    MEZZO_TRY(const auto parts, params.Number("num_parts"));
    const std::int64_t count = std::min<std::int64_t>(parts.value_or(1), UINT32_MAX);
    MEZZO_TRY(const auto upload,
              ports_.artifacts.BeginParts(place, static_cast<std::uint32_t>(count), Limit()));
    // Clients send parts without their credentials: they get back what they have just sent.
    Json headers = Json::object();
    for (const std::string_view header : {"Authorization", "X-Api-Key"}) {
      if (const auto value = call.request->Header(header)) headers[std::string(header)] = *value;
    }
    Json credentials = Json::array();
    for (std::uint32_t number = 1; number <= upload.parts; ++number) {
      const std::string path =
          std::string(kArtifactsRoot) + "/mpu/parts/" + upload.id + "/" + std::to_string(number);
      credentials.push_back(
          {{"url", AbsoluteUrl(*call.request, path)}, {"part_number", number}, {"headers", headers}});
    }
    net::HttpResponse response = Ok({{"upload_id", upload.id}, {"credentials", std::move(credentials)}});
    response.headers.emplace_back("Cache-Control", "no-store");
    return response;
  }
  MEZZO_TRY(const std::string id, params.Text("upload_id"));
  if (call.route == kAbortParts) {
    MEZZO_TRY_VOID(ports_.artifacts.AbortParts(TenantOf(call), id, StoreLimit()));
    return Nothing();
  }
  MEZZO_TRY(const auto parts, params.Objects("parts", lifecycle::TrackedArtifacts::kMaxParts));
  std::vector<std::string> sha256s(parts.size());
  for (const Params& part : parts) {
    MEZZO_TRY(const auto number, part.Number("part_number"));
    MEZZO_TRY(std::string etag, part.Text("etag"));
    const std::int64_t at = number.value_or(0);
    if (at < 1 || static_cast<std::size_t>(at) > parts.size() ||
        !sha256s[static_cast<std::size_t>(at) - 1].empty()) {
      return InvalidArgument("mlflow_member", "'parts' must have each 'part_number' from 1 to " +
                                                  std::to_string(parts.size()) + " once");
    }
    std::erase(etag, '"');
    sha256s[static_cast<std::size_t>(at) - 1] = std::move(etag);
  }
  MEZZO_TRY_VOID(ports_.artifacts.CompleteParts(place, id, sha256s, StoreLimit()));
  return Nothing();
}

MlflowHandler::Answer MlflowHandler::PutPart(const RoutedCall& call) const {
  const auto number = ParseUint(call.captures[1]);
  MEZZO_TRY(const std::string sha256,
            ports_.artifacts.PutPart(
                TenantOf(call), std::string(call.captures[0]),
                static_cast<std::uint32_t>(std::min<std::uint64_t>(number.value_or(0), UINT32_MAX)),
                call.request->body().view(), StoreLimit()));
  net::HttpResponse response = Nothing();
  response.headers.emplace_back("ETag", "\"" + sha256 + "\"");
  return response;
}

/// For its own tenant and for operators, as at /v1/registry.
Result<std::vector<lifecycle::ManifestFile>> MlflowHandler::VersionFiles(const RoutedCall& call,
                                                                         const ModelSource& place) const {
  MEZZO_TRY(const std::string model, Visible(call, place.id));
  MEZZO_TRY(const auto record, ports_.registry.GetModel(model, Limit()));
  if (!call.caller->Has(Scope::kOperate) && record.tenant != TenantOf(call)) {
    return PermissionDenied("registry_contents",
                            "the files of a model are for its own tenant and for operators");
  }
  MEZZO_TRY(const auto version, ports_.registry.Resolve(model, place.name, Limit()));
  return ports_.registry.FilesOf(model, version.version, Limit());
}

MlflowHandler::Answer MlflowHandler::ListArtifacts(const RoutedCall& call, const Params& params) const {
  MEZZO_TRY(const std::string path, params.Text("path"));
  MEZZO_TRY(const ModelSource source, ParseArtifactPath(path));
  std::vector<lifecycle::ArtifactEntry> entries;
  if (source.kind == ModelSource::Kind::kVersion) {
    MEZZO_TRY(const auto files, VersionFiles(call, source));
    entries = lifecycle::TrackedArtifacts::EntriesOf(files, source.folder);
  } else {
    MEZZO_TRY(entries, ports_.artifacts.List(PlaceOf(call, source), Limit()));
  }
  Json files = Json::array();
  for (const auto& entry : entries) {
    Json file = {{"path", entry.name}, {"is_dir", entry.is_folder}};
    if (!entry.is_folder) file["file_size"] = entry.bytes;
    files.push_back(std::move(file));
  }
  return Ok({{"files", std::move(files)}});
}

Result<lifecycle::ManifestFile> MlflowHandler::FindArtifact(const RoutedCall& call) const {
  MEZZO_TRY(const ModelSource source, ParseArtifactPath(call.captures[0]));
  if (source.kind != ModelSource::Kind::kVersion) {
    return ports_.tracking.FindArtifact(PlaceOf(call, source), Limit());
  }
  MEZZO_TRY(const auto files, VersionFiles(call, source));
  for (const auto& file : files) {
    if (file.path == source.folder) return file;
  }
  return NoArtifact(call.captures[0]);
}

runtime::Task<MlflowHandler::Answer> MlflowHandler::SendArtifact(runtime::Context ctx,
                                                                 RoutedCall call) const {
  auto look = [&] { return FindArtifact(call); };
  MEZZO_CO_TRY(const auto file, co_await runtime::Offload(ports_.pool, std::move(look)));
  BlobServer::Presentation presentation{.file_name = file.path.substr(file.path.rfind('/') + 1),
                                        .fresh = Duration::zero(),
                                        .refusal = &MlflowErrorResponse};
  co_return co_await ports_.blobs.Serve(std::move(ctx), lifecycle::VersionUploads::KeyOf(file.sha256),
                                        call.request, std::move(presentation));
}

}  // namespace mezzo::api::mlflow
