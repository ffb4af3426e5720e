#pragma once

#include <cstdint>
#include <string_view>

#include "mezzo/base/bytes.h"

namespace mezzo::api {

/// What a Range header asks of a representation of `size` bytes.
struct RequestedRange {
  enum class Kind : std::uint8_t {
    kWhole,          ///< No range, or one that a server ignores: answer 200.
    kPart,           ///< Bytes [offset, offset + length): answer 206.
    kUnsatisfiable,  ///< Nothing of it is there: answer 416.
  };
  Kind kind = Kind::kWhole;
  ByteCount offset = 0;
  ByteCount length = 0;
};

/// Reads one byte range (RFC 9110 section 14.1.2): "bytes=0-99", "bytes=100-", "bytes=-100". Other units,
/// several ranges and what can't be read are ignored, as section 14.2 allows.
[[nodiscard]] RequestedRange ParseByteRange(std::string_view header, ByteCount size);

}  // namespace mezzo::api
