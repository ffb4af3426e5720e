#pragma once

#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/media/picture.h"
#include "mezzo/media/picture_header.h"
#include "mezzo/media/picture_limits.h"

namespace mezzo::media {

/// Reads and writes PNG, JPEG and WebP. Thread-safe. Blocks; for pools.
class PictureCodec {
 public:
  virtual ~PictureCodec() = default;

  /// Decodes the first image of `file` to sRGB, turned upright as its Exif orientation says. Pictures larger
  /// than `fit` (both sides given, and not zero) are made smaller while they are read, to the smallest size
  /// that still covers it. Limits are checked before anything is allocated for pixels. Fails with
  /// kInvalidArgument "picture_invalid" (also for formats other than these three) or "picture_too_large".
  virtual Result<RgbaPicture> Decode(BytesView file, const PictureLimits& limits, FrameSize fit) = 0;

  /// `quality` is 1 to 100, for JPEG and WebP; JPEG has no transparency: what is transparent becomes white.
  /// Fails with kInternal "picture_encode_failed".
  virtual Result<std::string> Encode(const RgbaPicture& picture, PictureFormat format, int quality) = 0;
};

}  // namespace mezzo::media
