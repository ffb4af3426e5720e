#include "mezzo/lifecycle/tracked_artifacts.h"

#include <map>
#include <utility>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::lifecycle {

Result<ManifestFile> TrackedArtifacts::Put(const ArtifactPlace& place, BytesView bytes, TimePoint deadline) {
  ManifestFile file{.path = place.path, .sha256 = HexEncode(Sha256Of(bytes)), .bytes = bytes.size()};
  MEZZO_TRY_VOID(Manifest::Make({file}, options_.limits));
  MEZZO_TRY_VOID(ports_.tracking.BeginArtifact(place, file, deadline));
  const storage::BlobKey key = VersionUploads::KeyOf(file.sha256);
  const auto there = ports_.contents.Stat(key, deadline);
  if (!there.ok()) {
    if (there.error().code() != Code::kNotFound) return there.error();
    MEZZO_TRY_VOID(storage::WriteBlob(ports_.contents, key, bytes, {}, deadline));
  }
  MEZZO_TRY_VOID(ports_.tracking.CommitArtifact(place, file, deadline));
  return file;
}

std::vector<ArtifactEntry> TrackedArtifacts::EntriesOf(const std::vector<ManifestFile>& files,
                                                       const std::string& folder) {
  std::map<std::string, ArtifactEntry> entries;
  const std::string prefix = folder.empty() ? "" : folder + "/";
  for (const ManifestFile& file : files) {
    if (!file.path.starts_with(prefix)) continue;
    const std::string rest = file.path.substr(prefix.size());
    const std::size_t slash = rest.find('/');
    const bool is_folder = slash != std::string::npos;
    std::string name = rest.substr(0, slash);
    entries.try_emplace(
        name, ArtifactEntry{.name = name, .is_folder = is_folder, .bytes = is_folder ? 0 : file.bytes});
  }
  std::vector<ArtifactEntry> list;
  list.reserve(entries.size());
  for (auto& [name, entry] : entries) list.push_back(std::move(entry));
  return list;
}

Result<std::vector<ArtifactEntry>> TrackedArtifacts::List(const ArtifactPlace& place, TimePoint deadline) {
  MEZZO_TRY(const auto files, ports_.tracking.ArtifactsBelow(place, deadline));
  return EntriesOf(files, place.path);
}

Result<VersionRecord> TrackedArtifacts::Register(const std::string& model, const ArtifactPlace& from,
                                                 NewVersion version, const std::string& by,
                                                 TimePoint deadline) {
  MEZZO_TRY(std::vector<ManifestFile> files, ports_.tracking.ArtifactsBelow(from, deadline));
  const std::string prefix = from.path.empty() ? "" : from.path + "/";
  std::erase_if(files, [&](const ManifestFile& file) { return !file.path.starts_with(prefix); });
  const std::string where =
      "'" + Printable(from.owner, 64) + "'" + (from.path.empty() ? "" : " in '" + Printable(from.path) + "'");
  if (files.empty()) return NotFound("tracking_artifact_unknown", "there are no artifacts of " + where);
  for (ManifestFile& file : files) file.path.erase(0, prefix.size());
  MEZZO_TRY(version.manifest, Manifest::Make(std::move(files), options_.limits));
  if (version.manifest.Find("MLmodel") == nullptr) {
    return InvalidArgument("tracking_no_mlmodel",
                           "the artifacts of " + where + " are no MLflow model: there is no file MLmodel");
  }
  return Complete(model, version, by, deadline);
}

Result<VersionRecord> TrackedArtifacts::Copy(const std::string& model, const VersionRecord& of,
                                             NewVersion version, const std::string& by, TimePoint deadline) {
  MEZZO_TRY(std::vector<ManifestFile> files, ports_.registry.FilesOf(of.model, of.version, deadline));
  if (!files.empty()) {
    MEZZO_TRY(version.manifest, Manifest::Make(std::move(files), options_.limits));
  }
  return Complete(model, version, by, deadline);
}

Result<VersionRecord> TrackedArtifacts::Complete(const std::string& model, const NewVersion& version,
                                                 const std::string& by, TimePoint deadline) {
  MEZZO_TRY(const auto begun, ports_.uploads.Begin(model, version, by, deadline));
  auto done = ports_.uploads.Complete(model, begun.version.version, by, deadline);
  if (done.ok()) return done;
  // A content went while this was under way: as if nobody had asked.
  (void)ports_.registry.DeleteVersion(model, begun.version.version, by, deadline);
  return done.error();
}

Result<std::size_t> TrackedArtifacts::Expire(std::size_t limit, TimePoint deadline) {
  return ports_.tracking.ExpireArtifacts(ports_.clock.WallNow() - options_.lifetime, limit, deadline);
}

}  // namespace mezzo::lifecycle
