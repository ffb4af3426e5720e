#include "mezzo/drivers/ffmpeg/ffmpeg_video_encoder.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/drivers/ffmpeg/internal/muxer.h"
#include "mezzo/drivers/ffmpeg/internal/stream_encoder.h"

namespace mezzo::drivers {
namespace {

using internal::AvFramePtr;
using internal::EncoderFailure;
using internal::Muxer;
using internal::StreamEncoder;
using internal::TempFile;

/// A frame that borrows the planes of `picture`: encoders copy what they keep.
AvFramePtr Borrow(const media::YuvPicture& picture) {
  AvFramePtr frame(av_frame_alloc());
  MEZZO_CHECK(frame != nullptr);
  frame->format = AV_PIX_FMT_YUV420P;
  frame->width = picture.size().width;
  frame->height = picture.size().height;
  for (int p = 0; p < media::YuvPicture::kPlanes; ++p) {
    const media::PlaneView plane = picture.plane(p);
    auto* data =
        const_cast<std::uint8_t*>(plane.data);  // The library has no read-only frames; encoders only read.
    frame->data[p] = data;
    frame->linesize[p] = static_cast<int>(plane.stride);
    // A buffer that owns nothing spares the copy that frames without buffers get.
    frame->buf[p] = av_buffer_create(
        data, static_cast<std::size_t>(plane.stride * plane.height), [](void*, std::uint8_t*) {}, nullptr,
        AV_BUFFER_FLAG_READONLY);
    MEZZO_CHECK(frame->buf[p] != nullptr);
  }
  return frame;
}

class FfmpegVideoEncoder final : public media::VideoEncoder {
 public:
  FfmpegVideoEncoder(const media::EncoderSettings& settings, std::unique_ptr<Muxer> muxer,
                     StreamEncoder video, std::optional<StreamEncoder> audio)
      : settings_(settings), muxer_(std::move(muxer)), video_(std::move(video)), audio_(std::move(audio)) {}

  /// Makes the streams and writes the head of the file.
  Result<void> Begin() {
    MEZZO_TRY_VOID(video_.AttachTo(*muxer_));
    if (audio_.has_value()) MEZZO_TRY_VOID(audio_->AttachTo(*muxer_));
    for (const media::SubtitleTrack& track : settings_.subtitles) {
      MEZZO_TRY(const int stream, muxer_->AddText(track.language, settings_.size));
      texts_.push_back({stream, 0});
    }
    return muxer_->Begin();
  }

  Result<void> WriteFrame(const media::YuvPicture& picture) override {
    MEZZO_CHECK(picture.size() == settings_.size);
    MEZZO_TRY_VOID(WriteCuesUntil(TimeOf(frames_)));
    const AvFramePtr frame = Borrow(picture);
    frame->pts = static_cast<std::int64_t>(frames_);
    ++frames_;
    return video_.Encode(frame.get());
  }

  Result<void> WriteAudio(std::span<const float> samples) override {
    MEZZO_CHECK(audio_.has_value() && samples.size() % media::kChannels == 0);
    const std::size_t piece = static_cast<std::size_t>(audio_->codec().frame_size) * media::kChannels;
    pending_.insert(pending_.end(), samples.begin(), samples.end());
    std::size_t at = 0;
    for (; pending_.size() - at >= piece; at += piece) {
      MEZZO_TRY_VOID(EncodeSound(std::span(pending_).subspan(at, piece)));
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at));
    return {};
  }

  Result<media::EncodedVideo> Finish(const media::ByteSink& sink) override {
    MEZZO_TRY_VOID(WriteCuesUntil(Duration::max()));
    MEZZO_TRY_VOID(video_.Encode(nullptr));
    if (audio_.has_value()) {
      if (!pending_.empty()) MEZZO_TRY_VOID(EncodeSound(pending_));
      MEZZO_TRY_VOID(audio_->Encode(nullptr));
    }
    MEZZO_TRY_VOID(muxer_->End());
    MEZZO_TRY_VOID(muxer_->file().CopyTo(sink));
    return media::EncodedVideo{
        .bytes = muxer_->file().size(),
        .frames = frames_,
        .duration = TimeOf(frames_),
        .media_type = settings_.format == media::VideoFormat::kWebmVp9 ? "video/webm" : "video/mp4"};
  }

 private:
  struct TextStream {
    int stream;
    std::size_t next_cue;
  };

  [[nodiscard]] Duration TimeOf(std::uint64_t frame) const {
    return Duration(static_cast<std::int64_t>(frame) * 1'000'000'000 / settings_.fps);
  }

  /// Text goes into the container when its time comes, so that it lies beside its pictures.
  Result<void> WriteCuesUntil(Duration time) {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      const std::vector<media::Cue>& cues = settings_.subtitles[i].cues;
      for (std::size_t& next = texts_[i].next_cue; next < cues.size() && cues[next].span.start <= time;
           ++next) {
        MEZZO_TRY_VOID(muxer_->WriteCue(texts_[i].stream, cues[next]));
      }
    }
    return {};
  }

  Result<void> EncodeSound(std::span<const float> samples) {
    const AVCodecContext& codec = audio_->codec();
    const std::size_t count = samples.size() / media::kChannels;
    AvFramePtr frame(av_frame_alloc());
    MEZZO_CHECK(frame != nullptr);
    frame->format = codec.sample_fmt;
    frame->nb_samples = static_cast<int>(count);
    frame->sample_rate = media::kSampleRate;
    frame->pts = static_cast<std::int64_t>(sound_frames_);
    int code = av_channel_layout_copy(&frame->ch_layout, &codec.ch_layout);
    if (code >= 0) code = av_frame_get_buffer(frame.get(), 0);
    if (code < 0) return EncoderFailure("making a frame of sound", code);
    if (av_sample_fmt_is_planar(codec.sample_fmt) == 0) {
      std::copy(samples.begin(), samples.end(), reinterpret_cast<float*>(frame->data[0]));
    } else {
      for (std::size_t c = 0; c < media::kChannels; ++c) {
        auto* to = reinterpret_cast<float*>(frame->data[c]);
        for (std::size_t i = 0; i < count; ++i) to[i] = samples[i * media::kChannels + c];
      }
    }
    sound_frames_ += count;
    return audio_->Encode(frame.get());
  }

  const media::EncoderSettings settings_;
  std::unique_ptr<Muxer> muxer_;
  StreamEncoder video_;
  std::optional<StreamEncoder> audio_;
  std::vector<TextStream> texts_;
  std::vector<float> pending_;  // Less than one frame of the sound encoder, interleaved.
  std::uint64_t frames_ = 0;
  std::uint64_t sound_frames_ = 0;
};

}  // namespace

FfmpegVideoEncoderFactory::FfmpegVideoEncoderFactory(Options options) : options_(std::move(options)) {
  internal::SilenceAvLog();
}

Result<std::unique_ptr<media::VideoEncoder>> FfmpegVideoEncoderFactory::Open(
    const media::EncoderSettings& settings) {
  MEZZO_TRY(TempFile file, TempFile::Create(options_.temp_dir, options_.max_bytes));
  MEZZO_TRY(std::unique_ptr<Muxer> muxer, Muxer::Open(settings.format, std::move(file)));
  MEZZO_TRY(StreamEncoder video, StreamEncoder::OpenVideo(settings, options_.threads));
  std::optional<StreamEncoder> audio;
  if (settings.has_audio) {
    MEZZO_TRY(StreamEncoder opened, StreamEncoder::OpenAudio(settings.format));
    audio.emplace(std::move(opened));
  }
  auto encoder =
      std::make_unique<FfmpegVideoEncoder>(settings, std::move(muxer), std::move(video), std::move(audio));
  MEZZO_TRY_VOID(encoder->Begin());
  return std::unique_ptr<media::VideoEncoder>(std::move(encoder));
}

}  // namespace mezzo::drivers
