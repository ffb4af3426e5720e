#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/base/bytes.h"
#include "mezzo/drivers/ffmpeg/internal/av.h"
#include "mezzo/drivers/ffmpeg/internal/memory_io.h"
#include "mezzo/media/picture.h"

namespace mezzo::drivers::testing {

/// A finished file read back: what its container says, its pictures, its sound and its text. For tests.
class VideoFile {
 public:
  struct Text {
    double start;
    double end;
    std::string text;
    friend bool operator==(const Text& a, const Text& b) {
      return std::abs(a.start - b.start) < 0.002 && std::abs(a.end - b.end) < 0.002 && a.text == b.text;
    }
    friend void PrintTo(const Text& t, std::ostream* out) {
      *out << t.start << " to " << t.end << ": " << t.text;
    }
  };
  struct Stream {
    std::string codec;
    std::string language;
    std::uint64_t packets = 0;
  };

  /// Without `decode` frames() and sound() stay empty, for files whose pictures would fill the memory.
  explicit VideoFile(std::string bytes, bool decode = true) : bytes_(std::move(bytes)), io_(AsBytes(bytes_)) {
    internal::SilenceAvLog();
    context_ = avformat_alloc_context();
    context_->pb = io_.get();
    if (avformat_open_input(&context_, "", nullptr, nullptr) < 0) {
      ADD_FAILURE() << "not a container";
      return;
    }
    EXPECT_GE(avformat_find_stream_info(context_, nullptr), 0);
    duration_ = static_cast<double>(context_->duration) / AV_TIME_BASE;
    for (unsigned i = 0; i < context_->nb_streams; ++i) {
      const AVStream& stream = *context_->streams[i];
      const AVDictionaryEntry* language = av_dict_get(stream.metadata, "language", nullptr, 0);
      streams_.push_back(
          {avcodec_get_name(stream.codecpar->codec_id), language != nullptr ? language->value : ""});
    }
    ReadAll(decode);
  }
  ~VideoFile() { avformat_close_input(&context_); }
  VideoFile(const VideoFile&) = delete;
  VideoFile& operator=(const VideoFile&) = delete;

  [[nodiscard]] double duration() const { return duration_; }
  [[nodiscard]] const std::vector<Stream>& streams() const { return streams_; }
  [[nodiscard]] const std::vector<media::YuvPicture>& frames() const { return frames_; }
  [[nodiscard]] const std::vector<float>& sound() const { return sound_; }
  [[nodiscard]] const std::vector<Text>& texts(int stream) { return texts_[stream]; }
  [[nodiscard]] const AVCodecParameters& parameters(int stream) const {
    return *context_->streams[stream]->codecpar;
  }

  /// The names of an MP4 file's top boxes, in order.
  [[nodiscard]] std::vector<std::string> Boxes() const {
    std::vector<std::string> names;
    for (std::size_t at = 0; at + 8 <= bytes_.size();) {
      std::uint64_t size = 0;
      for (std::size_t i = 0; i < 4; ++i) size = size << 8U | static_cast<unsigned char>(bytes_[at + i]);
      names.push_back(bytes_.substr(at + 4, 4));
      if (size < 8) break;
      at += size;
    }
    return names;
  }

 private:
  void ReadAll(bool decode) {
    std::vector<internal::AvCodecContextPtr> decoders;
    for (unsigned i = 0; i < context_->nb_streams; ++i) {
      const AVCodecParameters& parameters = *context_->streams[i]->codecpar;
      internal::AvCodecContextPtr decoder;
      if (decode && parameters.codec_type != AVMEDIA_TYPE_SUBTITLE) {
        decoder.reset(avcodec_alloc_context3(avcodec_find_decoder(parameters.codec_id)));
        EXPECT_GE(avcodec_parameters_to_context(decoder.get(), &parameters), 0);
        decoder->pkt_timebase = context_->streams[i]->time_base;
        EXPECT_GE(avcodec_open2(decoder.get(), nullptr, nullptr), 0);
      }
      decoders.push_back(std::move(decoder));
    }
    internal::AvPacketPtr packet(av_packet_alloc());
    while (av_read_frame(context_, packet.get()) >= 0) {
      const auto index = static_cast<std::size_t>(packet->stream_index);
      ++streams_[index].packets;
      if (context_->streams[index]->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE) {
        AddText(*packet);
      } else if (decode) {
        EXPECT_GE(avcodec_send_packet(decoders[index].get(), packet.get()), 0);
        Drain(*decoders[index]);
      }
      av_packet_unref(packet.get());
    }
    for (auto& decoder : decoders) {
      if (decoder == nullptr) continue;
      avcodec_send_packet(decoder.get(), nullptr);
      Drain(*decoder);
    }
  }

  void AddText(const AVPacket& packet) {
    const AVStream& stream = *context_->streams[packet.stream_index];
    std::string text(reinterpret_cast<const char*>(packet.data), static_cast<std::size_t>(packet.size));
    if (stream.codecpar->codec_id == AV_CODEC_ID_MOV_TEXT) text = text.size() >= 2 ? text.substr(2) : "";
    const double start = static_cast<double>(packet.pts) * av_q2d(stream.time_base);
    const double end = start + static_cast<double>(packet.duration) * av_q2d(stream.time_base);
    if (!text.empty()) texts_[packet.stream_index].push_back({start, end, text});
  }

  void Drain(AVCodecContext& decoder) {
    internal::AvFramePtr frame(av_frame_alloc());
    while (avcodec_receive_frame(&decoder, frame.get()) >= 0) {
      if (decoder.codec_type == AVMEDIA_TYPE_VIDEO) {
        AddFrame(*frame);
      } else {
        AddSound(*frame);
      }
    }
  }

  void AddFrame(const AVFrame& frame) {
    ASSERT_EQ(frame.format, AV_PIX_FMT_YUV420P);
    media::YuvPicture picture({frame.width, frame.height});
    for (int p = 0; p < media::YuvPicture::kPlanes; ++p) {
      const media::Plane to = picture.plane(p);
      for (int y = 0; y < to.height; ++y) {
        std::memcpy(to.row(y), frame.data[p] + static_cast<std::ptrdiff_t>(y) * frame.linesize[p],
                    static_cast<std::size_t>(to.width));
      }
    }
    frames_.push_back(std::move(picture));
  }

  void AddSound(const AVFrame& frame) {
    ASSERT_TRUE(frame.format == AV_SAMPLE_FMT_FLTP || frame.format == AV_SAMPLE_FMT_FLT);
    ASSERT_EQ(frame.ch_layout.nb_channels, 2);
    for (int i = 0; i < frame.nb_samples; ++i) {
      for (int c = 0; c < 2; ++c) {
        sound_.push_back(frame.format == AV_SAMPLE_FMT_FLTP
                             ? reinterpret_cast<const float*>(frame.data[c])[i]
                             : reinterpret_cast<const float*>(frame.data[0])[2 * i + c]);
      }
    }
  }

  const std::string bytes_;
  internal::MemoryIo io_;
  AVFormatContext* context_ = nullptr;
  double duration_ = 0;
  std::vector<Stream> streams_;
  std::vector<media::YuvPicture> frames_;
  std::vector<float> sound_;
  std::map<int, std::vector<Text>> texts_;
};

}  // namespace mezzo::drivers::testing
