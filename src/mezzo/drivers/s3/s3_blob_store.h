#pragma once

#include <memory>
#include <string>

#include "mezzo/drivers/s3/s3_options.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers {

/// Objects in a bucket of an S3-compatible store. Thread-safe; keeps no state but connections, so any number
/// of hosts may share a bucket and a prefix.
///
/// A writer spools (memory, then an unlinked file) until the commit, when size and SHA-256 are known; nothing
/// is in the store before. A reader asks for `read_bytes` at a time and is told by the store when the object
/// was replaced ("blob_changed"). An expiry is a mark <prefix>expiry/<hour>/<key> written before the object,
/// so that sweeping lists what has expired only.
class S3BlobStore final : public storage::BlobStore {
 public:
  /// Asks the store nothing. Fails with kInvalidArgument "blob_store_options_invalid". The clock and the
  /// registry must outlive the store.
  static Result<std::unique_ptr<S3BlobStore>> Create(S3Options options, const Clock& clock,
                                                     observe::Registry& registry);
  /// Writers and readers must be gone.
  ~S3BlobStore() override;

  Result<std::unique_ptr<storage::BlobWriter>> Write(const storage::BlobKey& key,
                                                     storage::BlobWriteOptions options,
                                                     TimePoint deadline) override;
  Result<std::unique_ptr<storage::BlobReader>> Read(const storage::BlobKey& key, storage::ByteRange range,
                                                    TimePoint deadline) override;
  Result<storage::BlobFacts> Stat(const storage::BlobKey& key, TimePoint deadline) override;
  Result<void> Delete(const storage::BlobKey& key, TimePoint deadline) override;
  Result<storage::BlobPage> List(const storage::BlobPrefix& prefix, const std::string& after,
                                 std::size_t limit, TimePoint deadline) override;
  /// Also fails as the credentials do.
  Result<std::string> SignUrl(const storage::BlobKey& key, const storage::BlobUrlOptions& options) override;
  /// Copies the object onto itself, in the archive class.
  Result<void> Archive(const storage::BlobKey& key, TimePoint deadline) override;
  /// Also ends uploads in parts that began `abandoned_after` before `now`.
  Result<storage::BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override;

 private:
  class State;
  class Writer;
  class Reader;
  explicit S3BlobStore(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace mezzo::drivers
