#pragma once

#include <span>

#include "mezzo/drivers/ffmpeg/internal/av.h"
#include "mezzo/drivers/ffmpeg/internal/muxer.h"
#include "mezzo/media/video_encoder.h"

namespace mezzo::drivers::internal {

/// One encoder and its stream of a container. Errors as Muxer's. Not thread-safe.
class StreamEncoder {
 public:
  /// Settles the codec's settings for pictures or for sound. Fails with kUnimplemented "codec_missing".
  static Result<StreamEncoder> OpenVideo(const media::EncoderSettings& settings, int threads);
  static Result<StreamEncoder> OpenAudio(media::VideoFormat format);

  /// Becomes a stream of `muxer`, which must outlive this.
  Result<void> AttachTo(Muxer& muxer);
  /// Encodes `frame`; null ends the stream. What comes out goes to the muxer.
  Result<void> Encode(const AVFrame* frame);
  [[nodiscard]] const AVCodecContext& codec() const { return *codec_; }

 private:
  explicit StreamEncoder(AvCodecContextPtr codec) : codec_(std::move(codec)), packet_(av_packet_alloc()) {}

  AvCodecContextPtr codec_;
  AvPacketPtr packet_;
  Muxer* muxer_ = nullptr;
  int stream_ = -1;
};

}  // namespace mezzo::drivers::internal
