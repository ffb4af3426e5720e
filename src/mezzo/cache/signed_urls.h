#pragma once

#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/cache/typed_cache.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::cache {

/// URLs of objects, signed once and given out until half of their life has passed: the same object has the
/// same URL for whoever keeps what it has fetched, and no URL is given out that ends sooner than half of what
/// was asked for.
///
/// Whoever asks must be allowed to read the object: that is checked before. Thread-safe.
class SignedUrls {
 public:
  struct Url {
    std::string text;
    WallTime expires;  ///< Good until then, at least.
  };
  /// All outlive it. `items` null: every URL is signed anew.
  SignedUrls(storage::BlobStore& store, RecentItems* items, const Clock& clock);

  /// Errors: BlobStore::SignUrl()'s. What fails is not kept.
  Result<Url> Sign(const storage::BlobKey& key, const storage::BlobUrlOptions& options);
  /// After the store's secrets, or the places of its objects, have changed: what was signed before is not
  /// given out again.
  void Clear();

 private:
  storage::BlobStore& store_;
  const Clock& clock_;
  std::unique_ptr<TypedCache<Url>> kept_;
};

}  // namespace mezzo::cache
