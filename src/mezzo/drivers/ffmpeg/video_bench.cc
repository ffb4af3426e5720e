// Question: how fast does a marketing video come out, against its own length, and how much memory does it
// take? Budget: 15 s of 1080p H.264 from pictures at real time or faster on 2 cores, at most 400 MB; 60 s
// takes no more memory.
//
// Each run is a process of its own, so that its peak memory is its own. With MEZZO_KEEP_VIDEOS=<folder> the
// videos stay there to be looked at.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <benchmark/benchmark.h>

#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"
#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_video_encoder.h"
#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"
#include "mezzo/media/soundtrack.h"
#include "mezzo/media/testing/test_pictures.h"
#include "mezzo/media/video_renderer.h"

namespace mezzo::drivers {
namespace {

using media::PictureFormat;

/// Five seconds a shot, with titles, subtitles in two languages, speech in every second shot, and a logo.
std::string StoryboardJson(const std::string& style, const std::string& format, const std::string& aspect,
                           int seconds) {
  std::string shots;
  for (int i = 0; i < seconds / 5; ++i) {
    const std::string number = std::to_string(i + 1);
    shots += std::string(i == 0 ? "" : ",") + R"({"picture": "card", "duration": 5, "text": "新品上市 No. )" +
             number + R"(", "text_place": ")" + (i % 3 == 0 ? "center" : "lower") +
             R"(", "subtitle": {"zh": "轻盈如羽，坚固如山。全新一代产品，为每一天的灵感而生。", )"
             R"("en": "Light as a feather, solid as a mountain: made for everyday inspiration."})" +
             (i % 2 == 1 ? R"(, "speech": "全新一代产品，为每一天的灵感而生。")" : "") + "}";
  }
  return R"({"style": ")" + style + R"(", "format": ")" + format + R"(", "aspect": ")" + aspect +
         R"(", "shots": [)" + shots +
         R"(], "subtitles": {"burn": ["zh", "en"]}, "logo": {"picture": "logo"}})";
}

media::RgbaPicture DrawLogo() {
  media::RgbaPicture logo({256, 256});
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      const double radius = std::hypot(x - 127.5, y - 127.5) / 128;
      std::uint8_t* pixel = logo.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = 255;
      pixel[1] = static_cast<std::uint8_t>(radius > 0.7 ? 120 : 255);
      pixel[2] = 40;
      pixel[3] = static_cast<std::uint8_t>(255 * std::clamp((1 - radius) * 64, 0.0, 1.0));
    }
  }
  return logo;
}

Result<void> MakeVideo(const std::string& json, const std::string& path) {
  const RealClock clock;
  FfmpegVideoEncoderFactory encoders({});
  AssTextRendererFactory texts;
  FfmpegSoundDecoder decoder({});
  EspeakSpeechSynthesizer speech({}, decoder, clock);
  MEZZO_TRY(VipsPictureCodec pictures, VipsPictureCodec::Create());
  MEZZO_TRY(const media::Storyboard storyboard, media::ParseStoryboard(json));
  MEZZO_TRY(const media::Soundtrack sound, media::MakeSoundtrack(storyboard, {decoder, speech, {}}, kNever));

  const media::FrameSize size = SizeOf(storyboard.resolution, storyboard.aspect);
  MEZZO_TRY(const std::string jpeg,
            pictures.Encode(media::testing::DrawTestCard({2400, 1800}, 1), PictureFormat::kJpeg, 90));
  media::VideoInputs inputs{.sound = sound.mixer.get()};
  inputs.logo = []() -> Result<media::RgbaPicture> { return DrawLogo(); };
  inputs.picture = [&](std::size_t) {
    return pictures.Decode(AsBytes(jpeg), {}, {2 * size.width, 2 * size.height});
  };
  std::ofstream file(path, std::ios::binary);
  const auto sink = [&file](BytesView bytes) -> Result<void> {
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return {};
  };
  media::VideoRenderer renderer({.threads = 2}, encoders, texts, clock);
  MEZZO_TRY(const media::RenderedVideo video,
            renderer.Render(runtime::Context(), storyboard, inputs, sink, {}));
  MEZZO_TRY(const std::string sheet, pictures.Encode(video.sprite_sheet, PictureFormat::kWebp, 80));
  std::ofstream(path + ".webp", std::ios::binary) << sheet;
  if (!file.flush()) return Unavailable("temp_file_failed", "can't write " + path);
  return {};
}

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

void RenderVideo(benchmark::State& state, const std::string& style, const std::string& format,
                 const std::string& aspect) {
  const auto seconds = static_cast<int>(state.range(0));
  const char* keep = std::getenv("MEZZO_KEEP_VIDEOS");
  const std::string path = (keep != nullptr ? std::string(keep) : std::string("/tmp")) + "/mezzo_bench_" +
                           style + "_" + format + "_" + aspect + "_" + std::to_string(seconds) +
                           (format == "webm_vp9" ? ".webm" : ".mp4");
  double peak = 0;
  double cpu_seconds = 0;
  for (auto iteration : state) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto made = MakeVideo(StoryboardJson(style, format, aspect, seconds), path);
      if (!made.ok()) std::fprintf(stderr, "%s\n", made.error().ToString().c_str());
      ::_exit(made.ok() ? 0 : 1);
    }
    int status = 0;
    rusage usage{};
    ::wait4(child, &status, 0, &usage);
    if (status != 0) state.SkipWithError("the video failed");
    peak = static_cast<double>(usage.ru_maxrss) / 1024;
    cpu_seconds = SecondsOf(usage.ru_utime) + SecondsOf(usage.ru_stime);
  }
  if (keep == nullptr) {
    ::unlink(path.c_str());
    ::unlink((path + ".webp").c_str());
  }
  state.counters["x_real_time"] =
      benchmark::Counter(seconds * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["peak_MiB"] = peak;
  state.counters["cpu_per_second"] = cpu_seconds / seconds;
}

BENCHMARK_CAPTURE(RenderVideo, h264, "technology", "mp4_h264", "landscape")
    ->Arg(15)
    ->Arg(60)
    ->Unit(benchmark::kSecond)
    ->UseRealTime()
    ->Iterations(1);
BENCHMARK_CAPTURE(RenderVideo, h265, "literary", "mp4_h265", "landscape")
    ->Arg(15)
    ->Unit(benchmark::kSecond)
    ->UseRealTime()
    ->Iterations(1);
BENCHMARK_CAPTURE(RenderVideo, vp9, "fresh", "webm_vp9", "landscape")
    ->Arg(15)
    ->Unit(benchmark::kSecond)
    ->UseRealTime()
    ->Iterations(1);
BENCHMARK_CAPTURE(RenderVideo, h264_portrait, "festive", "mp4_h264", "portrait")
    ->Arg(15)
    ->Unit(benchmark::kSecond)
    ->UseRealTime()
    ->Iterations(1);

}  // namespace
}  // namespace mezzo::drivers
