#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

/// A BlobStore that counts: calls by operation and outcome ("ok" or one of BlobStore's reasons), how long
/// they took, how many run, and bytes read and written. A write counts at its commit, or where it fails; a
/// read at its opening. Thread-safe.
class MeteredBlobStore final : public BlobStore {
 public:
  /// `name` is the label "store": "local", "s3", ... All must outlive this object, its writers and its
  /// readers.
  MeteredBlobStore(BlobStore& inner, std::string_view name, observe::Registry& registry, const Clock& clock);
  ~MeteredBlobStore() override;

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                            TimePoint deadline) override;
  Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range, TimePoint deadline) override;
  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override;
  Result<void> Delete(const BlobKey& key, TimePoint deadline) override;
  Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                        TimePoint deadline) override;
  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override;
  Result<void> Archive(const BlobKey& key, TimePoint deadline) override;
  Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override;

 private:
  class Meters;
  class Writer;
  class Reader;

  BlobStore& inner_;
  const std::unique_ptr<Meters> meters_;
};

}  // namespace mezzo::storage
