#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/audio.h"
#include "mezzo/media/picture.h"
#include "mezzo/media/storyboard.h"
#include "mezzo/media/subtitles.h"

namespace mezzo::media {

/// Takes a finished file front to back, piece by piece. An error ends the transfer and is handed on.
using ByteSink = std::function<Result<void>(BytesView)>;

struct EncoderSettings {
  VideoFormat format = VideoFormat::kMp4H264;
  FrameSize size;
  int fps = 30;
  bool has_audio = false;
  /// One text track for each, in this order.
  std::vector<SubtitleTrack> subtitles;
};

/// What came out.
struct EncodedVideo {
  std::uint64_t bytes = 0;
  std::uint64_t frames = 0;
  Duration duration = Duration::zero();
  std::string media_type;  ///< "video/mp4" or "video/webm".
};

/// One video being encoded: frames and sound go in by turns, in order; the file comes out at the end, ready
/// to be played while it is still being loaded (its index lies in front). Memory does not grow with the
/// length: what is finished lies in an unnamed temporary file. Destroying it unfinished leaves nothing
/// behind. Not thread-safe.
class VideoEncoder {
 public:
  virtual ~VideoEncoder() = default;
  /// The next frame; `frame` may be changed afterwards. Fails with kInternal "encoder_failed" or
  /// kResourceExhausted "disk_full", after which only destruction is left.
  virtual Result<void> WriteFrame(const YuvPicture& frame) = 0;
  /// The next sound (audio.h), any number of whole frames. Only when settings.has_audio. To stay bounded,
  /// sound must not run more than some seconds ahead of or behind the frames. Fails as WriteFrame().
  virtual Result<void> WriteAudio(std::span<const float> samples) = 0;
  /// Ends all streams and hands the file to `sink`. Last call.
  virtual Result<EncodedVideo> Finish(const ByteSink& sink) = 0;
};

/// Makes encoders. Thread-safe.
class VideoEncoderFactory {
 public:
  virtual ~VideoEncoderFactory() = default;
  /// Fails with kUnimplemented "codec_missing" when the host's libraries lack what the format needs.
  virtual Result<std::unique_ptr<VideoEncoder>> Open(const EncoderSettings& settings) = 0;
};

}  // namespace mezzo::media
