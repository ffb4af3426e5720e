#pragma once

#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/drivers/s3/internal/sigv4.h"
#include "mezzo/net/http_client.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers::internal {

// An object's facts are its headers: the content type, and metadata that S3 keeps with the content:
// x-amz-meta-mezzo-sha256 (hex), -stored and -expires (nanoseconds since the Unix epoch).

/// What a new object is sent with. `etag` and `archived` do not matter.
TextPairs HeadersOf(const storage::BlobFacts& facts);

/// The facts of an object of `size` bytes whose headers were answered. Fails with kDataLoss "blob_corrupt"
/// when it lacks them: somebody else has written it.
Result<storage::BlobFacts> FactsOf(const storage::BlobKey& key, ByteCount size,
                                   const net::ClientResponse& response, std::string_view archive_class);

/// The size of the whole object in "bytes 0-9/1234". Fails with kInternal "blob_answer_invalid".
Result<ByteCount> TotalOf(std::string_view content_range);

/// An ETag without its quotes.
std::string Unquoted(std::string_view etag);

}  // namespace mezzo::drivers::internal
