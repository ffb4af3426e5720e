#pragma once

#include <string>

#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

/// Writes `bytes` as one object.
Result<BlobFacts> WriteBlob(BlobStore& store, const BlobKey& key, BytesView bytes, BlobWriteOptions options,
                            TimePoint deadline);

/// The whole object, its SHA-256 verified. Fails with kInvalidArgument "blob_too_large" when it has more than
/// `max_bytes`.
Result<std::string> ReadBlob(BlobStore& store, const BlobKey& key, ByteCount max_bytes, TimePoint deadline);

}  // namespace mezzo::storage
