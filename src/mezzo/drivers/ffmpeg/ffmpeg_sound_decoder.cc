#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/drivers/ffmpeg/internal/av.h"
#include "mezzo/drivers/ffmpeg/internal/memory_io.h"

namespace mezzo::drivers {
namespace {

using internal::AvCodecContextPtr;
using internal::AvFramePtr;
using internal::AvPacketPtr;
using internal::AvText;

constexpr const char* kContainers = "mp3,wav,flac,ogg,mov";
constexpr const char* kCodecs =
    "mp3,mp3float,pcm_s16le,pcm_s24le,pcm_s32le,pcm_f32le,flac,opus,libopus,vorbis,libvorbis,aac";

Error Bad(std::string_view what, int code) {
  return InvalidArgument("sound_invalid", std::string(what) + ": " + AvText(code));
}

class FfmpegSoundSource final : public media::SoundSource {
 public:
  explicit FfmpegSoundSource(SharedBytes file)
      : file_(std::move(file)), packet_(av_packet_alloc()), frame_(av_frame_alloc()) {
    MEZZO_CHECK(packet_ != nullptr && frame_ != nullptr);
  }
  ~FfmpegSoundSource() override { Close(); }

  /// Begins anew: cheap, and exact where seeking in compressed sound is not.
  Result<void> Rewind() override {
    Close();
    io_ = std::make_unique<internal::MemoryIo>(file_.view());
    context_ = avformat_alloc_context();
    MEZZO_CHECK(context_ != nullptr);
    context_->pb = io_->get();
    AVDictionary* options = nullptr;
    av_dict_set(&options, "format_whitelist", kContainers, 0);
    av_dict_set(&options, "codec_whitelist", kCodecs, 0);
    int code = avformat_open_input(&context_, "", nullptr, &options);  // Frees the context when it fails.
    av_dict_free(&options);
    if (code < 0) return Bad("the sound file can't be read (MP3, WAV, FLAC, Ogg and MP4 can)", code);
    code = avformat_find_stream_info(context_, nullptr);
    if (code < 0) return Bad("the sound file can't be read", code);
    const AVCodec* codec = nullptr;
    stream_ = av_find_best_stream(context_, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
    if (stream_ < 0) return Bad("the file has no sound", stream_);
    for (unsigned i = 0; i < context_->nb_streams; ++i) {
      if (static_cast<int>(i) != stream_) context_->streams[i]->discard = AVDISCARD_ALL;
    }
    return OpenCodec(codec);
  }

  Result<std::size_t> Read(std::span<float> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      if (ready_at_ == ready_.size()) {
        MEZZO_TRY(const bool more, DecodeMore());
        if (!more) break;
        continue;
      }
      const std::size_t count = std::min(out.size() - done, ready_.size() - ready_at_);
      std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(ready_at_), count,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
      done += count;
      ready_at_ += count;
    }
    return done / media::kChannels;
  }

 private:
  Result<void> OpenCodec(const AVCodec* codec) {
    const AVStream& stream = *context_->streams[stream_];
    codec_.reset(avcodec_alloc_context3(codec));
    MEZZO_CHECK(codec_ != nullptr);
    int code = avcodec_parameters_to_context(codec_.get(), stream.codecpar);
    codec_->pkt_timebase = stream.time_base;
    codec_->thread_count = 1;
    if (code >= 0) code = avcodec_open2(codec_.get(), codec, nullptr);
    if (code < 0) return Bad("the sound file's codec can't be opened", code);
    return {};
  }

  void Close() {
    resampler_.reset();
    codec_.reset();
    avformat_close_input(&context_);
    io_.reset();
    ready_.clear();
    ready_at_ = 0;
    ended_ = false;
  }

  /// The next frame into `ready_`; false at the end.
  Result<bool> DecodeMore() {
    ready_.clear();
    ready_at_ = 0;
    while (!ended_) {
      int code = avcodec_receive_frame(codec_.get(), frame_.get());
      if (code == 0) {
        MEZZO_TRY_VOID(Resample(frame_.get()));
        if (!ready_.empty()) return true;
        continue;
      }
      if (code == AVERROR_EOF) {
        ended_ = true;
        if (resampler_ != nullptr) MEZZO_TRY_VOID(Resample(nullptr));
        return !ready_.empty();
      }
      if (code != AVERROR(EAGAIN)) return Bad("the sound can't be decoded", code);
      MEZZO_TRY_VOID(Feed());
    }
    return false;
  }

  Result<void> Feed() {
    while (true) {
      int code = av_read_frame(context_, packet_.get());
      if (code < 0) {
        if (code != AVERROR_EOF) return Bad("the sound file is damaged", code);
        code = avcodec_send_packet(codec_.get(), nullptr);
        return code < 0 ? Result<void>(Bad("the sound can't be decoded", code)) : Result<void>();
      }
      const bool ours = packet_->stream_index == stream_;
      if (ours) code = avcodec_send_packet(codec_.get(), packet_.get());
      av_packet_unref(packet_.get());
      if (code < 0) return Bad("the sound can't be decoded", code);
      if (ours) return {};
    }
  }

  /// Appends `frame` at 48 kHz, stereo; null gives what the resampler still holds.
  Result<void> Resample(AVFrame* frame) {
    if (resampler_ == nullptr) {
      MEZZO_TRY_VOID(OpenResampler(*frame));
    } else if (frame != nullptr && (frame->sample_rate != rate_ || frame->format != format_ ||
                                    frame->ch_layout.nb_channels != channels_)) {
      return InvalidArgument("sound_invalid", "the sound changes its rate or channels on the way");
    }
    const int count = frame == nullptr ? 0 : frame->nb_samples;
    const int room = swr_get_out_samples(resampler_.get(), count);
    if (room < 0) return Bad("the sound can't be resampled", room);
    const std::size_t before = ready_.size();
    ready_.resize(before + static_cast<std::size_t>(room) * media::kChannels);
    auto* to = reinterpret_cast<std::uint8_t*>(ready_.data() + before);
    auto** from = frame == nullptr ? nullptr : const_cast<const std::uint8_t**>(frame->extended_data);
    const int made = swr_convert(resampler_.get(), &to, room, from, count);
    if (made < 0) return Bad("the sound can't be resampled", made);
    ready_.resize(before + static_cast<std::size_t>(made) * media::kChannels);
    return {};
  }

  Result<void> OpenResampler(const AVFrame& frame) {
    rate_ = frame.sample_rate;
    format_ = frame.format;
    channels_ = frame.ch_layout.nb_channels;
    AVChannelLayout stereo;
    av_channel_layout_default(&stereo, media::kChannels);
    AVChannelLayout given;
    if (frame.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
      av_channel_layout_default(&given, channels_);
    } else {
      av_channel_layout_copy(&given, &frame.ch_layout);
    }
    SwrContext* made = nullptr;
    int code = swr_alloc_set_opts2(&made, &stereo, AV_SAMPLE_FMT_FLT, media::kSampleRate, &given,
                                   static_cast<AVSampleFormat>(format_), rate_, 0, nullptr);
    av_channel_layout_uninit(&given);
    resampler_.reset(made);
    // One channel sounds as loud from both sides; the library would turn it down by 3 dB.
    constexpr double kBothSides[media::kChannels] = {1, 1};
    if (code >= 0 && channels_ == 1) code = swr_set_matrix(resampler_.get(), kBothSides, 1);
    if (code >= 0) code = swr_init(resampler_.get());
    if (code < 0) return Bad("the sound can't be resampled", code);
    return {};
  }

  const SharedBytes file_;
  std::unique_ptr<internal::MemoryIo> io_;
  AVFormatContext* context_ = nullptr;
  int stream_ = -1;
  AvCodecContextPtr codec_;
  internal::SwrContextPtr resampler_;
  AvPacketPtr packet_;
  AvFramePtr frame_;
  int rate_ = 0;
  int format_ = 0;
  int channels_ = 0;
  std::vector<float> ready_;  // One decoded frame, resampled,
  std::size_t ready_at_ = 0;  // read up to here.
  bool ended_ = false;
};

}  // namespace

FfmpegSoundDecoder::FfmpegSoundDecoder(Options options) : options_(options) { internal::SilenceAvLog(); }

Result<std::unique_ptr<media::SoundSource>> FfmpegSoundDecoder::Open(SharedBytes file) {
  if (file.size() > options_.max_bytes) {
    return InvalidArgument("sound_too_large", fmt::format("the sound file has {} bytes; the limit is {}",
                                                          file.size(), options_.max_bytes));
  }
  auto source = std::make_unique<FfmpegSoundSource>(std::move(file));
  MEZZO_TRY_VOID(source->Rewind());
  return std::unique_ptr<media::SoundSource>(std::move(source));
}

}  // namespace mezzo::drivers
