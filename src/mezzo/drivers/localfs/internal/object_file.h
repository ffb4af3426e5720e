#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"
#include "mezzo/storage/blob_store.h"

namespace mezzo::drivers::internal {

// A stored file is the object's content followed by a trailer: content and facts appear in one rename, and
// the content starts at byte 0. The trailer is text, a line for each fact, filled up with newlines:
//
//     mezzo-blob 1
//     key=acme/job-1/0/film.mp4
//     size=1048576
//     sha256=<64 hex digits>
//     type=video/mp4
//     stored=1700000000000000000      nanoseconds since the Unix epoch
//     expires=-                       the same, or "-"
//     check=<16 hex digits>           of the SHA-256 of the lines above
//
// (docs/adr/0009-blob-store.md)

constexpr std::size_t kTrailerBytes = 1024;

/// The trailer of an object; exactly kTrailerBytes.
std::string EncodeTrailer(const storage::BlobFacts& facts);

/// Reads the trailer of the file in which `key` should lie. Fails with kDataLoss "blob_corrupt".
Result<storage::BlobFacts> DecodeTrailer(const storage::BlobKey& key, std::string_view trailer);

}  // namespace mezzo::drivers::internal
