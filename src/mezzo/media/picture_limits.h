#pragma once

#include <cstdint>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/media/picture_header.h"

namespace mezzo::media {

/// What a picture that somebody else made may cost. Exact: a picture at a limit passes, one beyond is
/// refused.
struct PictureLimits {
  ByteCount max_bytes = ByteCount{20} << 20U;  ///< Of the file.
  std::uint64_t max_pixels = 50'000'000;       ///< Width × height, as the file says.
  int max_side = 16'384;
};

/// The header of `file`, when it is within the limits. Allocates nothing but messages. Fails with
/// kInvalidArgument "picture_too_large", and as ReadPictureHeader().
Result<PictureHeader> CheckPictureLimits(BytesView file, const PictureLimits& limits);

}  // namespace mezzo::media
