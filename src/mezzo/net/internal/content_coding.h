#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/net/internal/body_buffer.h"
#include "mezzo/net/internal/request_assembler.h"

namespace mezzo::net {

/// The best of gzip, deflate and identity that an Accept-Encoding header admits; identity when it is empty.
ContentCoding ChooseCoding(std::string_view accept_encoding);

/// "gzip", "deflate" or "".
std::string_view CodingName(ContentCoding coding);

/// Compresses `text` and then `pieces` at zlib's fastest level.
std::string Compress(ContentCoding coding, std::string_view text, std::span<const SharedBytes> pieces);

struct InflateLimits {
  ByteCount max_size = 0;
  std::size_t max_ratio = 200;  ///< Decoded to encoded size, beyond kFreeInflate bytes.
};
/// Small outputs may have any ratio.
inline constexpr ByteCount kFreeInflate = ByteCount{1} << 20;

/// Decodes `encoded` into `out`; what is wrong otherwise: 400 for bad data, 413 beyond a limit, 503 without
/// budget. "deflate" may be with or without the zlib wrapper, as clients send both.
std::optional<HttpError> Inflate(ContentCoding coding, BytesView encoded, InflateLimits limits,
                                 BodyBuffer* out);

}  // namespace mezzo::net
