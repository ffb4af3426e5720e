#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/sha256.h"
#include "mezzo/lifecycle/artifact_manifest.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/tracking_store.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// Files of runs and logged models. Their contents lie where those of versions do, each once under its
/// SHA-256, so that registering them moves no byte; what no version has goes after the lifetime. Blocks.
/// Thread-safe.
class TrackedArtifacts {
 public:
  struct Options {
    ManifestLimits limits;
    Duration lifetime = std::chrono::hours(24);  ///< Of what no version has.
  };
  /// All outlive the object. `contents` keeps objects for ever.
  struct Ports {
    TrackingStore& tracking;
    RegistryStore& registry;
    VersionUploads& uploads;
    storage::BlobStore& contents;
    const Clock& clock;
  };
  TrackedArtifacts(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// The whole file. What lay at the place stays until the new one is whole. Errors: Manifest::Make()'s of
  /// the path, the stores'.
  Result<ManifestFile> Put(const ArtifactPlace& place, BytesView bytes, TimePoint deadline);
  // A file in parts, of at most 10,000: each is an object that expires, so any host can take the next.

  static constexpr std::uint32_t kMaxParts = 10'000;
  /// kInvalidArgument "tracking_upload_part" when `parts` is 0 or more than kMaxParts.
  Result<ArtifactUpload> BeginParts(const ArtifactPlace& place, std::uint32_t parts, TimePoint deadline);
  /// Part `number`, from 1; one that comes again replaces the other. Its SHA-256. kNotFound
  /// "tracking_upload_unknown", kInvalidArgument "tracking_upload_part".
  Result<std::string> PutPart(const TenantId& tenant, const std::string& id, std::uint32_t number,
                              BytesView bytes, TimePoint deadline);
  /// The parts in their order are the file. `sha256s` are what PutPart() said of each, all of them; another
  /// one is kInvalidArgument "tracking_upload_part". Errors also those of Put().
  Result<ManifestFile> CompleteParts(const ArtifactPlace& place, const std::string& id,
                                     const std::vector<std::string>& sha256s, TimePoint deadline);
  /// No error when it is not there.
  Result<void> AbortParts(const TenantId& tenant, const std::string& id, TimePoint deadline);

  /// What lies directly in the folder; nothing when `place` is a file or nothing is there.
  Result<std::vector<ArtifactEntry>> List(const ArtifactPlace& place, TimePoint deadline);

  /// What `files` shows directly below `folder` (empty: the root), by name.
  static std::vector<ArtifactEntry> EntriesOf(const std::vector<ManifestFile>& files,
                                              const std::string& folder);

  /// A version with exactly the files below `from`. kNotFound "tracking_artifact_unknown" when there are
  /// none; kInvalidArgument "tracking_no_mlmodel" when no file MLmodel is among them; Manifest::Make()'s,
  /// the registry's. `version`'s manifest is filled in.
  Result<VersionRecord> Register(const std::string& model, const ArtifactPlace& from, NewVersion version,
                                 const std::string& by, TimePoint deadline);
  /// A version with the files of another one.
  Result<VersionRecord> Copy(const std::string& model, const VersionRecord& of, NewVersion version,
                             const std::string& by, TimePoint deadline);

  /// Removes what is due, `limit` at most of files, of uploads in parts, and of runs that were deleted. How
  /// many.
  Result<std::size_t> Expire(std::size_t limit, TimePoint deadline);

 private:
  Result<VersionRecord> Complete(const std::string& model, const NewVersion& version, const std::string& by,
                                 TimePoint deadline);

  Result<void> Join(const std::vector<storage::BlobKey>& parts, const storage::BlobKey* into, Sha256* hash,
                    TimePoint deadline);

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
