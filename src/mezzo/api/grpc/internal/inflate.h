#pragma once

#include <span>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"

namespace mezzo::api::rpc {

/// Whether a message is compressed by gzip or zlib ("deflate"). No message of ours begins like that.
bool IsCompressed(std::span<const BytesView> message);

/// Decompresses a message. gRPC would do so without any bound, so the server keeps it from doing it at all.
/// Fails with kResourceExhausted "message_too_large" beyond `limit` bytes or, beyond 1 MiB, 200 times the
/// compressed size; kInvalidArgument "compression_malformed".
Result<std::string> Inflate(std::span<const BytesView> message, ByteCount limit);

}  // namespace mezzo::api::rpc
