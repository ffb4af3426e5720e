#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_tester.h"
#include "mezzo/storage/blob_key.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::lifecycle {

/// How versions get here: the manifest first, then each content that is missing, in pieces or whole, then the
/// word that it is complete. A content lies in the store once, under its SHA-256, whoever brings it; a piece
/// of one is an object that expires, so any host can take the next, and what nobody goes on with is swept.
/// Blocks. Thread-safe.
class VersionUploads {
 public:
  struct Options {
    Duration lifetime = std::chrono::hours(24);  ///< Of half an upload, after its last content.
    ByteCount min_piece = ByteCount{64} << 10;   ///< But for the last piece of a content.
  };
  /// All outlive the object. `contents` keeps objects for ever. Null `tester`: what is complete is ready.
  struct Ports {
    RegistryStore& registry;
    storage::BlobStore& contents;
    VersionTester* tester = nullptr;
    const Clock& clock;
  };
  VersionUploads(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// Where a content lies. `sha256` is 64 hex digits.
  static storage::BlobKey KeyOf(const std::string& sha256);

  struct Begun {
    VersionRecord version;
    std::vector<std::string> missing;  ///< Contents that are to be sent, by SHA-256.
  };
  /// Errors: the registry's and the store's.
  Result<Begun> Begin(const std::string& model, const NewVersion& version, const std::string& by,
                      TimePoint deadline);
  /// Contents of the version that are not there.
  Result<std::vector<std::string>> Missing(const std::string& model, std::int64_t version,
                                           TimePoint deadline);
  /// Everything is there: on to the test, or ready. A version that is further already stays as it is.
  /// kFailedPrecondition "registry_blobs_missing".
  Result<VersionRecord> Complete(const std::string& model, std::int64_t version, const std::string& by,
                                 TimePoint deadline);

  struct Progress {
    ByteCount received = 0;  ///< From the beginning: where to go on.
    ByteCount bytes = 0;
    bool complete = false;
  };
  /// kNotFound "registry_blob_unknown" when the content is neither there nor waited for.
  Result<Progress> StatusOf(const std::string& sha256, TimePoint deadline);
  struct Piece {
    std::string sha256;  ///< Of the whole content.
    ByteCount offset = 0;
    ByteCount total = 0;  ///< Bytes of the content.
    BytesView bytes;
  };
  /// Takes a piece that begins where the last one ended; one that is there already changes nothing. Errors:
  /// kFailedPrecondition "registry_blob_unexpected" (no version that is being uploaded has it);
  /// kInvalidArgument "registry_blob_size" (not what the manifest says, or too small a piece),
  /// "registry_blob_digest" (the content is another one: its pieces are gone); kOutOfRange
  /// "registry_blob_range", naming where to go on.
  Result<Progress> Put(const Piece& piece, TimePoint deadline);

  /// For RegistryStore::CollectGarbage().
  Result<void> Remove(const std::string& sha256, TimePoint deadline);

 private:
  struct Pieces {
    std::vector<storage::BlobKey> keys;  ///< In order, without gaps, from the beginning.
    std::vector<storage::BlobKey> all;
    ByteCount bytes = 0;
  };
  Result<Pieces> PiecesOf(const std::string& sha256, TimePoint deadline);
  Result<bool> IsThere(const std::string& sha256, TimePoint deadline);
  Result<std::vector<std::string>> MissingOf(const std::vector<ManifestFile>& files, TimePoint deadline);
  Result<void> Assemble(const std::string& sha256, ByteCount total, TimePoint deadline);

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::lifecycle
