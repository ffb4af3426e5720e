#pragma once

#include <string>
#include <string_view>

#include "mezzo/base/sha256.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::storage {

// What every driver of BlobStore checks and says in the same way.

constexpr std::size_t kMaxBlobListLimit = 1000;
constexpr std::size_t kMaxContentType = 100;
constexpr std::size_t kMaxFileName = 200;
constexpr Duration kMinUrlLifetime = std::chrono::seconds(1);
constexpr Duration kMaxUrlLifetime = std::chrono::hours(7 * 24);

/// "type/subtype", optionally with parameters; printable ASCII, so that it can't end a header line. Fails
/// with kInvalidArgument "blob_content_type_invalid".
Result<void> CheckContentType(std::string_view content_type);
/// Fails with kInvalidArgument "blob_list_invalid".
Result<void> CheckListArguments(const std::string& after, std::size_t limit);
/// Fails with kInvalidArgument "blob_url_options_invalid".
Result<void> CheckUrlOptions(const BlobUrlOptions& options);
/// Fails with kDeadlineExceeded "blob_timeout" when `deadline` has passed.
Result<void> CheckDeadline(const Clock& clock, TimePoint deadline);

struct ByteSpan {
  ByteCount offset = 0;
  ByteCount length = 0;
};
/// The bytes of `range` in an object of `size` bytes. Fails with kOutOfRange "blob_range".
Result<ByteSpan> ResolveRange(const BlobKey& key, const ByteRange& range, ByteCount size);

/// "attachment; filename*=UTF-8''..." (RFC 6266, RFC 8187): what a server sends with a file that has a name.
std::string ContentDisposition(std::string_view file_name);

Error BlobMissing(const BlobKey& key);
Error BlobWriterClosed();
Error BlobTimeout();
Error BlobTooLarge(const BlobKey& key, ByteCount max_bytes);
Error BlobCorrupt(const BlobKey& key, std::string_view what);

/// Compares what a reader hands out with the object's SHA-256. Not thread-safe.
class ContentVerifier {
 public:
  /// Verifies only when `span` is the whole object: a part has no checksum of its own.
  ContentVerifier(const BlobFacts& facts, ByteSpan span)
      : whole_(span.offset == 0 && span.length == facts.size) {}
  void Update(BytesView bytes) {
    if (whole_) sha_.Update(bytes);
  }
  /// At the end, once. Fails with kDataLoss "blob_corrupt".
  Result<void> Finish(const BlobFacts& facts);

 private:
  const bool whole_;
  Sha256 sha_;
};

}  // namespace mezzo::storage
