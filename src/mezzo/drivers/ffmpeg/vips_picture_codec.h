#pragma once

#include <string>

#include "mezzo/media/picture_codec.h"

namespace mezzo::drivers {

/// Pictures with libvips, of which only the PNG, JPEG and WebP loaders are let loose. Pictures with a colour
/// profile are converted to sRGB; metadata is neither kept nor written. One thread, no cache. Thread-safe.
///
/// Made for a helper process too: after Create() nothing touches the file system.
class VipsPictureCodec final : public media::PictureCodec {
 public:
  /// Starts the library at the first picture: it takes megabytes, which a server without pictures saves. A
  /// library that can't start fails every call with kInternal "picture_library_failed".
  VipsPictureCodec() = default;
  /// Starts the library now, once for the process.
  static Result<VipsPictureCodec> Create();

  Result<media::RgbaPicture> Decode(BytesView file, const media::PictureLimits& limits,
                                    media::FrameSize fit) override;
  Result<std::string> Encode(const media::RgbaPicture& picture, media::PictureFormat format,
                             int quality) override;
};

}  // namespace mezzo::drivers
