#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "mezzo/media/video_encoder.h"

namespace mezzo::drivers {

/// Encodes with libavcodec: H.264 (libx264) or H.265 (libx265) with AAC in MP4, VP9 (libvpx) with Opus in
/// WebM; text tracks as 3GPP timed text or WebVTT. The file is written to an unnamed temporary file and its
/// index moved to the front at the end, so memory is the encoder's own: about 100 MB for H.264 at 1080p.
/// Thread-safe.
class FfmpegVideoEncoderFactory final : public media::VideoEncoderFactory {
 public:
  struct Options {
    std::string temp_dir = "/tmp";                      ///< Has room for the largest video.
    std::uint64_t max_bytes = std::uint64_t{2} << 30U;  ///< A larger video fails with "disk_full".
    int threads = 2;                                    ///< Of each encoder.
  };
  explicit FfmpegVideoEncoderFactory(Options options);

  Result<std::unique_ptr<media::VideoEncoder>> Open(const media::EncoderSettings& settings) override;

 private:
  const Options options_;
};

}  // namespace mezzo::drivers
