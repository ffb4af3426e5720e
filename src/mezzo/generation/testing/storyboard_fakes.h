#pragma once

#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mezzo/generation/shot_painter.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/media/picture_codec.h"
#include "mezzo/media/sound_source.h"
#include "mezzo/media/speech_synthesizer.h"
#include "mezzo/media/text_renderer.h"
#include "mezzo/media/untrusted_picture_decoder.h"
#include "mezzo/media/video_encoder.h"

namespace mezzo::generation::testing {

/// One colour, everywhere.
inline media::RgbaPicture Plain(media::FrameSize size, media::Rgb color) {
  media::RgbaPicture out(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      std::uint8_t* pixel = out.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = color.r;
      pixel[1] = color.g;
      pixel[2] = color.b;
      pixel[3] = 255;
    }
  }
  return out;
}

/// Paints a plain picture whose colour is the seed's, and remembers what was ordered.
class FakePainter final : public ShotPainter {
 public:
  Result<double> Check(const ShotOrder& order) override {
    if (order.model == "unknown") return NotFound("model_unknown", "there is no model 'unknown'");
    return 2.0;
  }
  Result<PaintedShot> Paint(const runtime::Context&, const ShotOrder& order,
                            const std::function<void(double)>& progress) override {
    if (on_paint) on_paint(orders.size());
    if (orders.size() == fail_at) return Unavailable("engine_failed", "made to fail");
    orders.push_back(order);
    progress(0.5);
    const auto shade = static_cast<std::uint8_t>(order.seed);
    return PaintedShot{.picture = Plain({32, 32}, {shade, shade, shade}),
                       .device_time = std::chrono::milliseconds(10),
                       .version = order.version};
  }

  std::vector<ShotOrder> orders;
  std::size_t fail_at = SIZE_MAX;
  std::function<void(std::size_t)> on_paint;
};

/// Pictures as text: "picture 32 32 7 7 7", the colour being that of the first pixel.
inline Result<media::RgbaPicture> ParseFakePicture(BytesView file) {
  int n[5] = {};
  const std::string text(AsText(file));
  if (std::sscanf(text.c_str(), "picture %d %d %d %d %d", &n[0], &n[1], &n[2], &n[3], &n[4]) != 5)
    return InvalidArgument("picture_invalid", "the picture is neither PNG, JPEG nor WebP");
  return Plain({n[0], n[1]}, {static_cast<std::uint8_t>(n[2]), static_cast<std::uint8_t>(n[3]),
                              static_cast<std::uint8_t>(n[4])});
}

class FakeCodec final : public media::PictureCodec {
 public:
  Result<media::RgbaPicture> Decode(BytesView file, const media::PictureLimits&, media::FrameSize) override {
    return ParseFakePicture(file);
  }
  Result<std::string> Encode(const media::RgbaPicture& picture, media::PictureFormat, int) override {
    const std::uint8_t* pixel = picture.row(0);
    return fmt::format("picture {} {} {} {} {}", picture.size().width, picture.size().height, pixel[0],
                       pixel[1], pixel[2]);
  }
};

class FakeUploads final : public media::UntrustedPictureDecoder {
 public:
  Result<media::RgbaPicture> Decode(BytesView file, media::FrameSize, TimePoint) override {
    ++decoded;
    return ParseFakePicture(file);
  }
  std::size_t decoded = 0;
};

/// Sound of half a second, whatever the file.
class FakeSounds final : public media::SoundDecoder {
 public:
  class Tone final : public media::SoundSource {
   public:
    Result<std::size_t> Read(std::span<float> out) override {
      std::size_t count = 0;
      for (; count < out.size() / 2 && at_ < 24'000; ++count, ++at_)
        out[2 * count] = out[2 * count + 1] = at_ % 96 < 48 ? 0.1F : -0.1F;
      return count;
    }
    Result<void> Rewind() override {
      at_ = 0;
      return {};
    }

   private:
    int at_ = 0;
  };
  Result<std::unique_ptr<media::SoundSource>> Open(SharedBytes file) override {
    files.emplace_back(file.text());
    return std::unique_ptr<media::SoundSource>(std::make_unique<Tone>());
  }
  std::vector<std::string> files;
};

class FakeSpeech final : public media::SpeechSynthesizer {
 public:
  Result<media::Speech> Speak(const std::string& text, media::Language, Duration, TimePoint) override {
    spoken.push_back(text);
    media::Speech out;
    out.samples.assign(2400, 0.1F);
    return out;
  }
  std::vector<std::string> spoken;
};

/// "Encodes" by writing the first luma sample of each frame.
class FakeEncoders final : public media::VideoEncoderFactory {
 public:
  class Encoder final : public media::VideoEncoder {
   public:
    explicit Encoder(FakeEncoders& owner) : owner_(owner) {}
    Result<void> WriteFrame(const media::YuvPicture& frame) override {
      if (owner_.on_frame) owner_.on_frame(frames_);
      ++frames_;
      bytes_ += static_cast<char>(frame.plane(0).row(0)[0]);
      return {};
    }
    Result<void> WriteAudio(std::span<const float>) override { return {}; }
    Result<media::EncodedVideo> Finish(const media::ByteSink& sink) override {
      MEZZO_TRY_VOID(sink(AsBytes(bytes_)));
      return media::EncodedVideo{.bytes = bytes_.size(), .frames = frames_};
    }

   private:
    FakeEncoders& owner_;
    std::string bytes_;
    std::uint64_t frames_ = 0;
  };
  Result<std::unique_ptr<media::VideoEncoder>> Open(const media::EncoderSettings& given) override {
    settings = given;
    return std::unique_ptr<media::VideoEncoder>(std::make_unique<Encoder>(*this));
  }
  media::EncoderSettings settings;
  std::function<void(std::uint64_t)> on_frame;
};

class FakeTexts final : public media::TextRendererFactory {
 public:
  class Nothing final : public media::TextRenderer {
    std::span<const media::AlphaMask> Render(Duration) override { return {}; }
  };
  Result<std::unique_ptr<media::TextRenderer>> Open(const std::string&, media::FrameSize) override {
    return std::unique_ptr<media::TextRenderer>(std::make_unique<Nothing>());
  }
};

/// One attempt, outside any queue. Its checkpoint is the job's.
class FakeRun final : public jobs::JobRun {
 public:
  struct Told {
    double progress;
    std::string stage;
  };
  FakeRun(jobs::LeasedJob job, std::string& checkpoint)
      : job_(std::move(job)),
        checkpoint_(checkpoint),
        ctx_({.tenant = job_.tenant, .request_id = {}, .trace = {}}) {
    job_.checkpoint = checkpoint;
  }

  [[nodiscard]] const jobs::LeasedJob& job() const override { return job_; }
  [[nodiscard]] const runtime::Context& ctx() const override { return ctx_; }
  Result<void> Report(double progress, const std::string& stage) override {
    if (told.size() + 1 >= lost_at) {
      ctx_.Cancel();
      return Cancelled("job_lease_lost", "lost");
    }
    told.push_back({progress, stage});
    return {};
  }
  Result<void> SaveCheckpoint(const std::string& checkpoint) override {
    checkpoint_ = checkpoint;
    return {};
  }
  void AddDeviceTime(Duration time) override { device_time += time; }

  std::vector<Told> told;
  std::size_t lost_at = SIZE_MAX;  ///< The report, from 1, at which the lease turns out to be lost.
  Duration device_time = {};

 private:
  jobs::LeasedJob job_;
  std::string& checkpoint_;
  const runtime::Context ctx_;
};

}  // namespace mezzo::generation::testing
