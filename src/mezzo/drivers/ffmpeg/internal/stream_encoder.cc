#include "mezzo/drivers/ffmpeg/internal/stream_encoder.h"

#include <string>

#include <fmt/format.h>

#include "mezzo/base/check.h"

namespace mezzo::drivers::internal {
namespace {

using media::VideoFormat;

struct Setting {
  const char* name;
  const char* value;
};

/// What an encoder is and how it is told to work: a quality that pictures in slow motion do not show as
/// compressed, as fast as two cores need for real time at 1080p where the codec allows.
struct Recipe {
  const char* encoder;
  std::span<const Setting> settings;
};

constexpr Setting kX264[] = {{"preset", "veryfast"}, {"crf", "21"}, {"profile", "high"}};
constexpr Setting kX265[] = {{"preset", "ultrafast"}, {"crf", "25"}};
constexpr Setting kVp9[] = {
    {"deadline", "realtime"}, {"cpu-used", "7"}, {"row-mt", "1"}, {"tile-columns", "2"}, {"crf", "33"}};

Recipe RecipeOf(VideoFormat format) {
  switch (format) {
    case VideoFormat::kMp4H264:
      return {"libx264", kX264};
    case VideoFormat::kMp4H265:
      return {"libx265", kX265};
    case VideoFormat::kWebmVp9:
      return {"libvpx-vp9", kVp9};
  }
  return {};
}

Result<AvCodecContextPtr> Allocate(const char* encoder) {
  const AVCodec* codec = avcodec_find_encoder_by_name(encoder);
  if (codec == nullptr) {
    return Unimplemented("codec_missing", std::string("this host's FFmpeg has no encoder '") + encoder + "'");
  }
  AvCodecContextPtr context(avcodec_alloc_context3(codec));
  MEZZO_CHECK(context != nullptr);
  return context;
}

Result<void> OpenCodec(AVCodecContext& context) {
  const int code = avcodec_open2(&context, nullptr, nullptr);
  if (code < 0) return EncoderFailure(std::string("opening the encoder ") + context.codec->name, code);
  return {};
}

Result<void> Set(AVCodecContext& context, const char* name, const char* value) {
  const int code = av_opt_set(context.priv_data, name, value, 0);
  if (code < 0) return EncoderFailure(std::string(context.codec->name) + ": setting " + name, code);
  return {};
}

}  // namespace

Result<StreamEncoder> StreamEncoder::OpenVideo(const media::EncoderSettings& settings, int threads) {
  const Recipe recipe = RecipeOf(settings.format);
  MEZZO_TRY(AvCodecContextPtr context, Allocate(recipe.encoder));
  context->width = settings.size.width;
  context->height = settings.size.height;
  context->pix_fmt = AV_PIX_FMT_YUV420P;
  context->time_base = {1, settings.fps};
  context->framerate = {settings.fps, 1};
  context->sample_aspect_ratio = {1, 1};
  context->gop_size = 2 * settings.fps;  // Seeking within two seconds.
  context->thread_count = threads;
  // As YuvPicture promises.
  context->color_primaries = AVCOL_PRI_BT709;
  context->color_trc = AVCOL_TRC_BT709;
  context->colorspace = AVCOL_SPC_BT709;
  context->color_range = AVCOL_RANGE_MPEG;
  context->chroma_sample_location = AVCHROMA_LOC_CENTER;
  // Containers keep what decoders need in front; the encoder writes neither its name nor its settings.
  context->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
  for (const Setting& setting : recipe.settings) {
    MEZZO_TRY_VOID(Set(*context, setting.name, setting.value));
  }
  if (settings.format == VideoFormat::kMp4H265) {
    // This library has threads of its own, one for each core of the host unless told.
    MEZZO_TRY_VOID(Set(*context, "x265-params",
                       fmt::format("pools={0}:frame-threads={0}:log-level=none:info=0", threads).c_str()));
  }
  MEZZO_TRY_VOID(OpenCodec(*context));
  return StreamEncoder(std::move(context));
}

Result<StreamEncoder> StreamEncoder::OpenAudio(VideoFormat format) {
  const bool webm = format == VideoFormat::kWebmVp9;
  MEZZO_TRY(AvCodecContextPtr context, Allocate(webm ? "libopus" : "aac"));
  context->sample_rate = media::kSampleRate;
  context->time_base = {1, media::kSampleRate};
  context->sample_fmt = webm ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
  av_channel_layout_default(&context->ch_layout, media::kChannels);
  context->bit_rate = webm ? 128'000 : 160'000;
  context->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
  MEZZO_TRY_VOID(OpenCodec(*context));
  return StreamEncoder(std::move(context));
}

Result<void> StreamEncoder::AttachTo(Muxer& muxer) {
  MEZZO_TRY(stream_, muxer.AddEncoded(*codec_));
  muxer_ = &muxer;
  return {};
}

Result<void> StreamEncoder::Encode(const AVFrame* frame) {
  int code = avcodec_send_frame(codec_.get(), frame);
  if (code < 0) return EncoderFailure("encoding", code);
  while (true) {
    code = avcodec_receive_packet(codec_.get(), packet_.get());
    if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return {};
    if (code < 0) return EncoderFailure("encoding", code);
    if (packet_->duration == 0 && codec_->codec_type == AVMEDIA_TYPE_VIDEO) packet_->duration = 1;
    MEZZO_TRY_VOID(muxer_->Write(stream_, *packet_, codec_->time_base));
  }
}

}  // namespace mezzo::drivers::internal
