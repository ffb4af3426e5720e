#include "mezzo/lifecycle/tracked_artifacts.h"

#include <array>
#include <map>
#include <memory>
#include <utility>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
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

// --- Files in parts

namespace {

constexpr std::size_t kBuffer = std::size_t{1} << 20;

Error BadPart(const std::string& what) { return InvalidArgument("tracking_upload_part", what); }

Result<storage::BlobKey> PartKey(const std::string& id, std::uint32_t number) {
  // No tenant can be called so; and no content: its name is longer.
  return storage::BlobKey::Make(TenantId("_registry"), id, number, "part");
}

}  // namespace

Result<ArtifactUpload> TrackedArtifacts::BeginParts(const ArtifactPlace& place, std::uint32_t parts,
                                                    TimePoint deadline) {
  const ManifestFile any{.path = place.path, .sha256 = Sha256Hex(""), .bytes = 0};
  MEZZO_TRY_VOID(Manifest::Make({any}, options_.limits));
  if (parts < 1 || parts > kMaxParts) {
    return BadPart("a file comes in 1 to " + std::to_string(kMaxParts) + " parts, not in " +
                   std::to_string(parts));
  }
  std::array<std::uint8_t, 16> random{};
  RandomBytes(random.data(), random.size());
  ArtifactUpload upload{.id = HexEncode(random), .place = place, .parts = parts};
  MEZZO_TRY_VOID(ports_.tracking.BeginUpload(upload, deadline));
  return upload;
}

Result<std::string> TrackedArtifacts::PutPart(const TenantId& tenant, const std::string& id,
                                              std::uint32_t number, BytesView bytes, TimePoint deadline) {
  MEZZO_TRY(const ArtifactUpload upload, ports_.tracking.GoOnWithUpload(tenant, id, bytes.size(), deadline));
  if (number < 1 || number > upload.parts) {
    return BadPart("the upload has parts 1 to " + std::to_string(upload.parts) + ", not " +
                   std::to_string(number));
  }
  MEZZO_TRY(const storage::BlobKey key, PartKey(id, number));
  storage::BlobWriteOptions options;
  options.expires_at = ports_.clock.WallNow() + options_.lifetime;
  MEZZO_TRY(const auto facts, storage::WriteBlob(ports_.contents, key, bytes, std::move(options), deadline));
  return facts.sha256;
}

/// Reads them one after the other into an object, a hash, or both.
Result<void> TrackedArtifacts::Join(const std::vector<storage::BlobKey>& parts, const storage::BlobKey* into,
                                    Sha256* hash, TimePoint deadline) {
  std::unique_ptr<storage::BlobWriter> writer;
  if (into != nullptr) {
    MEZZO_TRY(writer, ports_.contents.Write(*into, {}, deadline));
  }
  std::vector<std::byte> buffer(kBuffer);
  for (const storage::BlobKey& key : parts) {
    MEZZO_TRY(const auto reader, ports_.contents.Read(key, {}, deadline));
    while (true) {
      MEZZO_TRY(const std::size_t got, reader->Read(buffer, deadline));
      if (got == 0) break;
      const BytesView bytes(buffer.data(), got);
      if (hash != nullptr) hash->Update(bytes);
      if (writer != nullptr) MEZZO_TRY_VOID(writer->Append(bytes, deadline));
    }
  }
  if (writer != nullptr) MEZZO_TRY_VOID(writer->Commit(deadline));
  return {};
}

Result<ManifestFile> TrackedArtifacts::CompleteParts(const ArtifactPlace& place, const std::string& id,
                                                     const std::vector<std::string>& sha256s,
                                                     TimePoint deadline) {
  MEZZO_TRY(const ArtifactUpload upload, ports_.tracking.GoOnWithUpload(place.tenant, id, 0, deadline));
  if (upload.place.owner != place.owner || upload.place.path != place.path) {
    return NotFound("tracking_upload_unknown",
                    "there is no upload '" + Printable(id, 64) + "' of '" + Printable(place.path, 200) + "'");
  }
  if (sha256s.size() != upload.parts) {
    return BadPart("the upload has " + std::to_string(upload.parts) + " parts, not " +
                   std::to_string(sha256s.size()));
  }
  ManifestFile file{.path = place.path, .sha256 = "", .bytes = 0};
  std::vector<storage::BlobKey> parts;
  for (std::uint32_t number = 1; number <= upload.parts; ++number) {
    MEZZO_TRY(storage::BlobKey key, PartKey(id, number));
    const auto facts = ports_.contents.Stat(key, deadline);
    const bool missing = !facts.ok() && facts.error().code() == Code::kNotFound;
    if (!facts.ok() && !missing) return facts.error();
    if (missing || facts->sha256 != sha256s[number - 1]) {
      return BadPart("part " + std::to_string(number) + (missing ? " is not here" : " is another one"));
    }
    file.bytes += facts->size;
    parts.push_back(std::move(key));
  }
  Sha256 hash;
  MEZZO_TRY_VOID(Join(parts, nullptr, &hash, deadline));
  file.sha256 = HexEncode(hash.Finish());
  MEZZO_TRY_VOID(Manifest::Make({file}, options_.limits));
  // What has come counts no more by itself: the file does.
  MEZZO_TRY_VOID(ports_.tracking.EndUpload(place.tenant, id, deadline));
  MEZZO_TRY_VOID(ports_.tracking.BeginArtifact(place, file, deadline));
  const storage::BlobKey key = VersionUploads::KeyOf(file.sha256);
  const auto there = ports_.contents.Stat(key, deadline);
  if (!there.ok()) {
    if (there.error().code() != Code::kNotFound) return there.error();
    MEZZO_TRY_VOID(Join(parts, &key, nullptr, deadline));
  }
  MEZZO_TRY_VOID(ports_.tracking.CommitArtifact(place, file, deadline));
  // Those that stay, after a failure here, are swept when they expire.
  for (const storage::BlobKey& part : parts) MEZZO_TRY_VOID(ports_.contents.Delete(part, deadline));
  return file;
}

Result<void> TrackedArtifacts::AbortParts(const TenantId& tenant, const std::string& id, TimePoint deadline) {
  const auto upload = ports_.tracking.GoOnWithUpload(tenant, id, 0, deadline);
  if (!upload.ok()) {
    if (upload.error().code() == Code::kNotFound) return {};
    return upload.error();
  }
  MEZZO_TRY_VOID(ports_.tracking.EndUpload(tenant, id, deadline));
  for (std::uint32_t number = 1; number <= upload->parts; ++number) {
    MEZZO_TRY(const storage::BlobKey key, PartKey(id, number));
    MEZZO_TRY_VOID(ports_.contents.Delete(key, deadline));
  }
  return {};
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
  const WallTime before = ports_.clock.WallNow() - options_.lifetime;
  MEZZO_TRY(const std::size_t uploads, ports_.tracking.ExpireUploads(before, limit, deadline));
  MEZZO_TRY(const std::size_t runs, ports_.tracking.ExpireRuns(before, limit, deadline));
  MEZZO_TRY(const std::size_t experiments, ports_.tracking.ExpireExperiments(before, limit, deadline));
  MEZZO_TRY(const std::size_t files, ports_.tracking.ExpireArtifacts(before, limit, deadline));
  return uploads + runs + experiments + files;
}

}  // namespace mezzo::lifecycle
