#pragma once

#include <memory>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

/// A BlobStore whose objects expire: those written without a time get `retention` from their writing.
/// Everything else is the inner store's. Thread-safe.
class RetainingBlobStore final : public BlobStore {
 public:
  /// Both must outlive this object.
  RetainingBlobStore(BlobStore& inner, Duration retention, const Clock& clock)
      : inner_(inner), retention_(retention), clock_(clock) {}

  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                            TimePoint deadline) override {
    if (!options.expires_at) options.expires_at = clock_.WallNow() + retention_;
    return inner_.Write(key, std::move(options), deadline);
  }
  Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range, TimePoint deadline) override {
    return inner_.Read(key, range, deadline);
  }
  Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) override {
    return inner_.Stat(key, deadline);
  }
  Result<void> Delete(const BlobKey& key, TimePoint deadline) override {
    return inner_.Delete(key, deadline);
  }
  Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                        TimePoint deadline) override {
    return inner_.List(prefix, after, limit, deadline);
  }
  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override {
    return inner_.SignUrl(key, options);
  }
  Result<void> Archive(const BlobKey& key, TimePoint deadline) override {
    return inner_.Archive(key, deadline);
  }
  Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) override {
    return inner_.SweepExpired(now, limit, deadline);
  }

 private:
  BlobStore& inner_;
  const Duration retention_;
  const Clock& clock_;
};

}  // namespace mezzo::storage
