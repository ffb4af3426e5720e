#pragma once

#include <string>

#include "mezzo/media/picture_codec.h"

namespace mezzo::drivers {

/// Pictures with libvips, of which only the PNG, JPEG and WebP loaders are let loose. Pictures with a colour
/// profile are converted to sRGB; metadata is neither kept nor written. One thread, no cache. Thread-safe.
///
/// Made for a helper process too: nothing but the constructor touches the file system.
class VipsPictureCodec final : public media::PictureCodec {
 public:
  /// Starts the library, once for the process. Fails with kInternal "picture_library_failed".
  static Result<VipsPictureCodec> Create();

  Result<media::RgbaPicture> Decode(BytesView file, const media::PictureLimits& limits,
                                    media::FrameSize fit) override;
  Result<std::string> Encode(const media::RgbaPicture& picture, media::PictureFormat format,
                             int quality) override;

 private:
  VipsPictureCodec() = default;
};

}  // namespace mezzo::drivers
