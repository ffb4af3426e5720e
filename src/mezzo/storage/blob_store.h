#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/storage/blob_key.h"

namespace mezzo::storage {

/// What a store knows about an object.
struct BlobFacts {
  BlobKey key;
  ByteCount size = 0;
  std::string sha256;  ///< Of the content, 64 lower-case hex digits.
  std::string content_type;
  std::string etag;  ///< Differs when the content does; the store's own form, without quotes.
  WallTime stored_at;
  std::optional<WallTime> expires_at;
  bool archived = false;  ///< Moved to the cheaper storage class.
};

struct BlobWriteOptions {
  std::string content_type = "application/octet-stream";
  /// When SweepExpired() may remove the object; never when not set. Readable until it does.
  std::optional<WallTime> expires_at;
  /// When the object was first stored, if it comes from another store; now when not set.
  std::optional<WallTime> stored_at;
};

/// A part of an object: bytes [offset, offset + length), cut at the object's end. `offset` may equal the
/// size.
struct ByteRange {
  ByteCount offset = 0;
  std::optional<ByteCount> length;  ///< To the end when not set.
};

struct BlobEntry {
  BlobKey key;
  ByteCount size = 0;
};

struct BlobPage {
  std::vector<BlobEntry> entries;  ///< In the order of keys.
  bool more = false;               ///< Go on with the last entry's key as `after`.
};

struct BlobUrlOptions {
  Duration lifetime = std::chrono::hours(1);  ///< 1 s to 7 days.
  std::string file_name;  ///< Offered to whoever saves it; the browser's choice when empty.
};

/// What one SweepExpired() did.
struct BlobSweep {
  std::size_t removed = 0;
  bool more = false;  ///< The limit was reached: call again.
};

/// An object being written. Nothing is visible before Commit(), and nothing stays when the writer dies
/// without it. Memory is bounded whatever the length. One thread at a time. After an error every call fails
/// with kFailedPrecondition "blob_writer_closed", as after Commit().
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  /// Fails with kInvalidArgument "blob_too_large", kResourceExhausted "blob_disk_full", kDeadlineExceeded
  /// "blob_timeout", kUnavailable "blob_disk_error" or "blob_store_unavailable".
  virtual Result<void> Append(BytesView bytes, TimePoint deadline) = 0;
  /// Makes the object durable, then visible in one step; replaces one of the same key. Fails as Append()
  /// does. After kDeadlineExceeded or kUnavailable the object may be there: writing it again is harmless.
  virtual Result<BlobFacts> Commit(TimePoint deadline) = 0;
};

/// An object being read: one content from beginning to end, even when the key is replaced meanwhile. One
/// thread at a time.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  [[nodiscard]] virtual const BlobFacts& facts() const = 0;
  /// Fills up to `into.size()` bytes; 0 is the end. Fails with kDataLoss "blob_corrupt" (instead of the end,
  /// when a whole object was read that does not have its SHA-256), kAborted "blob_changed" (replaced, and the
  /// store no longer has the old content), kDeadlineExceeded "blob_timeout" or kUnavailable.
  virtual Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) = 0;
};

/// Immutable objects by key: results of jobs, inputs, checkpoints. Blocks: for threads of a BlockingPool,
/// never for a loop's. Thread-safe. Every driver passes storage/testing/blob_store_suite.h.
///
/// Every call may fail with kDeadlineExceeded "blob_timeout" and kUnavailable "blob_store_unavailable" or
/// "blob_disk_error"; a remote store adds kPermissionDenied "blob_access_denied" and kFailedPrecondition
/// "blob_store_misconfigured".
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  /// Fails with kInvalidArgument "blob_content_type_invalid".
  virtual Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key, BlobWriteOptions options,
                                                    TimePoint deadline) = 0;
  /// Fails with kNotFound "blob_missing" or kOutOfRange "blob_range".
  virtual Result<std::unique_ptr<BlobReader>> Read(const BlobKey& key, ByteRange range,
                                                   TimePoint deadline) = 0;
  /// Fails with kNotFound "blob_missing".
  virtual Result<BlobFacts> Stat(const BlobKey& key, TimePoint deadline) = 0;
  /// No error when there is none.
  virtual Result<void> Delete(const BlobKey& key, TimePoint deadline) = 0;
  /// Keys of `prefix` behind `after` (a key's text, which need not exist; empty: from the start), at most
  /// `limit` (1 to 1000). What is written or deleted meanwhile may or may not be seen; everything else is
  /// seen once. Fails with kInvalidArgument "blob_list_invalid".
  virtual Result<BlobPage> List(const BlobPrefix& prefix, const std::string& after, std::size_t limit,
                                TimePoint deadline) = 0;
  /// A URL that reads the object without further credentials until it expires. Does not look whether the
  /// object is there. Fails with kInvalidArgument "blob_url_options_invalid".
  virtual Result<std::string> SignUrl(const BlobKey& key, const BlobUrlOptions& options) = 0;
  /// Moves the object to the store's cheaper class; it stays readable. No error when it is there already.
  /// Fails with kNotFound "blob_missing".
  virtual Result<void> Archive(const BlobKey& key, TimePoint deadline) = 0;
  /// Removes objects whose `expires_at` is not after `now`, `limit` at most.
  virtual Result<BlobSweep> SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) = 0;
};

}  // namespace mezzo::storage
