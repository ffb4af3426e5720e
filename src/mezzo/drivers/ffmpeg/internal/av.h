#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
}

#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// FFmpeg's objects with their own ways to end.
struct AvDeleter {
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(SwrContext* p) const { swr_free(&p); }
};
using AvPacketPtr = std::unique_ptr<AVPacket, AvDeleter>;
using AvFramePtr = std::unique_ptr<AVFrame, AvDeleter>;
using AvCodecContextPtr = std::unique_ptr<AVCodecContext, AvDeleter>;
using SwrContextPtr = std::unique_ptr<SwrContext, AvDeleter>;

/// The library's words for a negative return value.
std::string AvText(int code);

/// `what` failed with `code` while a video was made: kResourceExhausted "disk_full" when there is no room,
/// else kInternal "encoder_failed".
Error EncoderFailure(std::string_view what, int code);

/// The library prints nothing: what fails says so in its return value. Once for the process; thread-safe.
void SilenceAvLog();

}  // namespace mezzo::drivers::internal
