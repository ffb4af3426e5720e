#pragma once

#include <string>

#include "mezzo/storage/testing/memory_blob_store.h"
#include "mezzo/storage/url_signer.h"

namespace mezzo::storage::testing {

/// A store in memory whose URLs are a signer's, as those of a folder are.
class SignedBlobStore final : public MemoryBlobStore {
 public:
  /// Both outlive the store.
  SignedBlobStore(const Clock& clock, const UrlSigner& signer)
      : MemoryBlobStore(clock), now_(clock), signer_(signer) {}
  Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) override {
    return signer_.Sign(key, options, now_.WallNow());
  }

 private:
  const Clock& now_;
  const UrlSigner& signer_;
};

}  // namespace mezzo::storage::testing
