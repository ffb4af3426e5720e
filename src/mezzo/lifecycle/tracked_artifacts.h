#pragma once

#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
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

  /// Removes what is due, `limit` files at most. How many.
  Result<std::size_t> Expire(std::size_t limit, TimePoint deadline);

 private:
  Result<VersionRecord> Complete(const std::string& model, const NewVersion& version, const std::string& by,
                                 TimePoint deadline);

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
