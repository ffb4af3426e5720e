#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/media/picture.h"

namespace mezzo::media {

enum class PictureFormat : std::uint8_t { kPng, kJpeg, kWebp };

/// "image/png" and so on.
std::string_view MediaType(PictureFormat format);

/// The format by the file's first bytes; nothing for everything else.
std::optional<PictureFormat> FormatOf(BytesView file);

/// What a picture file says about itself at its beginning.
struct PictureHeader {
  PictureFormat format = PictureFormat::kPng;
  FrameSize size;  ///< As stored, before any Exif orientation. Both sides positive.
};

/// Finds out the format by its first bytes and reads the size: PNG (W3C PNG, IHDR), JPEG (ITU-T T.81, the
/// frame header), WebP (RFC 9649: VP8, VP8L, VP8X). Looks at nothing beyond, allocates nothing. Fails with
/// kInvalidArgument "picture_invalid": other formats, headers cut short or out of range, animated WebP.
Result<PictureHeader> ReadPictureHeader(BytesView file);

}  // namespace mezzo::media
