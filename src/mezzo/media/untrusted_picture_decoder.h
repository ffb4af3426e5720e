#pragma once

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/picture.h"

namespace mezzo::media {

/// Decodes pictures that somebody sent, where a file made to harm can do no harm: in a process of its own,
/// with limits. Thread-safe. Blocks; for pools.
class UntrustedPictureDecoder {
 public:
  virtual ~UntrustedPictureDecoder() = default;

  /// As PictureCodec::Decode(), with the decoder's own limits. Fails with kInvalidArgument
  /// - "picture_invalid": neither PNG, JPEG nor WebP, damaged, or its decoder crashed on it;
  /// - "picture_too_large": bytes, pixels or a side beyond the limits, as the file itself says;
  /// - "picture_too_costly": decoding took more memory or CPU time than allowed;
  /// kDeadlineExceeded "deadline" at `deadline`, or when the decoder hangs; kInternal "child_failed" when no
  /// process can be started. Every message names the limit.
  virtual Result<RgbaPicture> Decode(BytesView file, FrameSize fit, TimePoint deadline) = 0;
};

}  // namespace mezzo::media
