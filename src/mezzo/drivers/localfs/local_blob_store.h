#pragma once

#include <memory>
#include <string>

#include "mezzo/storage/blob_store.h"
#include "mezzo/storage/url_signer.h"

namespace mezzo::drivers {

namespace internal {
class Disk;
}

/// Objects as files below one folder. Content and facts of an object are one file, which appears by rename(2)
/// after fsync(2); nothing is reached through a symbolic link; folders have mode 0700, files 0600. README.md
/// has the layout.
///
/// Thread-safe. Several processes of one host may have the same folder open.
class LocalBlobStore final : public storage::BlobStore {
 public:
  struct Options {
    std::string root;  ///< Made when missing; its parent must be there.
    /// Writes fail with "blob_disk_full" when they would leave less than this.
    ByteCount min_free_bytes = ByteCount{1} << 30;
    ByteCount max_object_bytes = ByteCount{64} << 30;
  };

  /// Also removes what killed processes have left half-written. Fails with kFailedPrecondition
  /// "blob_folder_unsafe" (not a folder, or one that everybody may write to) or as a call does. `signer` and
  /// `clock` must outlive the store.
  static Result<std::unique_ptr<LocalBlobStore>> Open(Options options, const storage::UrlSigner& signer,
                                                      const Clock& clock);
  /// For tests that make the disk fail.
  static Result<std::unique_ptr<LocalBlobStore>> Open(Options options, const storage::UrlSigner& signer,
                                                      const Clock& clock,
                                                      std::unique_ptr<internal::Disk> disk);
  /// Writers and readers must be gone.
  ~LocalBlobStore() override;

  Result<std::unique_ptr<storage::BlobWriter>> Write(const storage::BlobKey& key,
                                                     storage::BlobWriteOptions options,
                                                     TimePoint deadline) override;
  Result<std::unique_ptr<storage::BlobReader>> Read(const storage::BlobKey& key, storage::ByteRange range,
                                                    TimePoint deadline) override;
  Result<storage::BlobFacts> Stat(const storage::BlobKey& key, TimePoint deadline) override;
  Result<void> Delete(const storage::BlobKey& key, TimePoint deadline) override;
  Result<storage::BlobPage> List(const storage::BlobPrefix& prefix, const std::string& after,
                                 std::size_t limit, TimePoint deadline) override;
  Result<std::string> SignUrl(const storage::BlobKey& key, const storage::BlobUrlOptions& options) override;
  /// Moves the file to the tree `archive`.
  Result<void> Archive(const storage::BlobKey& key, TimePoint deadline) override;
  Result<storage::BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override;

 private:
  class State;
  class Writer;
  class Reader;
  explicit LocalBlobStore(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace mezzo::drivers
