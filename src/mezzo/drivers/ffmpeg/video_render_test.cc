// Whole videos: drawn by media::VideoRenderer, encoded by this driver, read back and compared.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <complex>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_video_encoder.h"
#include "mezzo/drivers/ffmpeg/testing/ebur128.h"
#include "mezzo/drivers/ffmpeg/testing/video_file.h"
#include "mezzo/media/compositor.h"
#include "mezzo/media/prepare_picture.h"
#include "mezzo/media/style_preset.h"
#include "mezzo/media/testing/sounds.h"
#include "mezzo/media/testing/test_pictures.h"
#include "mezzo/media/timeline.h"
#include "mezzo/media/video_renderer.h"

namespace mezzo::drivers {
namespace {

using media::FrameSize;
using media::Storyboard;
using media::VideoFormat;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::VideoFile;

media::Shot MakeShot(media::MotionKind motion, Duration duration) {
  media::Shot shot;
  shot.picture = "card";
  shot.duration = duration;
  shot.motion = {motion, 0.15};
  return shot;
}

/// Three shots, three and a half seconds, 720p square.
Storyboard SmallStoryboard() {
  Storyboard out;
  out.resolution = media::Resolution::k720p;
  out.aspect = media::Aspect::kSquare;
  out.style = "technology";
  out.fps = 24;
  out.shots = {MakeShot(media::MotionKind::kZoomIn, milliseconds(1500)),
               MakeShot(media::MotionKind::kPanRight, milliseconds(1000)),
               MakeShot(media::MotionKind::kStill, milliseconds(1000))};
  out.shots[1].transition = {media::TransitionKind::kFade, milliseconds(400), media::Direction::kLeft};
  out.shots[2].transition = {media::TransitionKind::kSlide, milliseconds(400), media::Direction::kLeft};
  return out;
}

media::RgbaPicture CardOf(std::size_t shot) {
  return media::testing::DrawTestCard({1000, 800}, static_cast<int>(shot));
}

class VideoRenderTest : public ::testing::Test {
 protected:
  Result<media::RenderedVideo> Render(const Storyboard& storyboard, media::Mixer* sound = nullptr) {
    media::VideoInputs inputs{.sound = sound};
    inputs.picture = [](std::size_t shot) -> Result<media::RgbaPicture> { return CardOf(shot); };
    const auto sink = [this](BytesView bytes) -> Result<void> {
      bytes_.append(AsText(bytes));
      return {};
    };
    return renderer_.Render(runtime::Context(), storyboard, inputs, sink, {});
  }

  RealClock clock_;
  FfmpegVideoEncoderFactory encoders_{{.temp_dir = ::testing::TempDir()}};
  AssTextRendererFactory texts_;
  media::VideoRenderer renderer_{{.threads = 2}, encoders_, texts_, clock_};
  std::string bytes_;
};

/// What the renderer should have drawn.
media::YuvPicture Expected(const Storyboard& storyboard, std::size_t frame) {
  const media::Timeline timeline(storyboard);
  const FrameSize size = SizeOf(storyboard.resolution, storyboard.aspect);
  const auto prepare = [&](std::size_t shot) {
    return PreparePicture(CardOf(shot), size, storyboard.shots[shot].motion, media::PictureFit::kCover,
                          media::FindStylePreset(storyboard.style)->background);
  };
  const media::FramePlan plan = timeline.At(frame);
  media::YuvPicture out(size);
  media::Compositor compositor({.frame = size});
  const media::YuvPicture current = prepare(plan.current.shot);
  media::YuvPicture previous;
  if (plan.previous.has_value()) previous = prepare(plan.previous->shot);
  compositor.Draw(plan, current, plan.previous.has_value() ? &previous : nullptr, out);
  return out;
}

TEST_F(VideoRenderTest, AnMp4HasItsFramesItsLengthAndItsIndexInFront) {
  const Storyboard storyboard = SmallStoryboard();

  const auto video = Render(storyboard);

  ASSERT_TRUE(video.ok()) << video.error().ToString();
  EXPECT_EQ(video->file.frames, 84U);
  EXPECT_EQ(video->file.bytes, bytes_.size());
  EXPECT_EQ(video->file.media_type, "video/mp4");
  const VideoFile file(bytes_);
  EXPECT_THAT(file.Boxes(), ElementsAre("ftyp", "moov", "free", "mdat"));
  EXPECT_EQ(file.frames().size(), 84U);
  EXPECT_NEAR(file.duration(), 3.5, 0.001);
  EXPECT_EQ(file.streams()[0].codec, "h264");
  EXPECT_EQ(file.parameters(0).color_space, AVCOL_SPC_BT709);
}

TEST_F(VideoRenderTest, FramesLookAsTheyWereComposed) {
  const Storyboard storyboard = SmallStoryboard();
  ASSERT_TRUE(Render(storyboard).ok());
  const VideoFile file(bytes_);
  ASSERT_EQ(file.frames().size(), 84U);

  for (const std::size_t frame : {0U, 40U, 64U, 83U}) {  // First, in a fade, in a slide, last.
    EXPECT_GT(media::testing::Ssim(file.frames()[frame], Expected(storyboard, frame)), 0.96) << frame;
  }
}

Storyboard WithSubtitles(VideoFormat format) {
  Storyboard out = SmallStoryboard();
  out.format = format;
  out.shots[0].text = "新品 New";
  out.shots[1].subtitles[0] = "你好，世界";
  out.shots[1].subtitles[1] = "Hello <world>";
  out.shots[2].subtitles[1] = "Bye";
  out.subtitles.burn[0] = true;
  return out;
}

TEST_F(VideoRenderTest, EveryFormatHasItsPicturesSoundAndTextTracks) {
  struct Case {
    VideoFormat format;
    std::vector<std::string> codecs;
  };
  for (const Case& c : {Case{VideoFormat::kMp4H264, {"h264", "aac", "mov_text", "mov_text"}},
                        Case{VideoFormat::kMp4H265, {"hevc", "aac", "mov_text", "mov_text"}},
                        Case{VideoFormat::kWebmVp9, {"vp9", "opus", "webvtt", "webvtt"}}}) {
    media::Mixer mixer({.length = milliseconds(3500)},
                       std::make_unique<media::testing::SoundOf>(media::testing::Sine(500, 0.1, seconds(2))),
                       {});
    ASSERT_TRUE(mixer.Prepare().ok());
    bytes_.clear();
    const Storyboard storyboard = WithSubtitles(c.format);

    const auto video = Render(storyboard, &mixer);

    ASSERT_TRUE(video.ok()) << video.error().ToString();
    VideoFile file(bytes_);
    ASSERT_EQ(file.streams().size(), 4U);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(file.streams()[i].codec, c.codecs[i]);
    EXPECT_EQ(file.streams()[2].language, "chi");
    EXPECT_EQ(file.streams()[3].language, "eng");
    EXPECT_EQ(file.frames().size(), 84U);
    EXPECT_NEAR(file.duration(), 3.5, 0.05);
    EXPECT_NEAR(static_cast<double>(file.sound().size()) / media::kChannels / media::kSampleRate, 3.5, 0.05);
    EXPECT_NEAR(testing::FfmpegLoudness(file.sound()), -16, 0.5);
    const bool webm = c.format == VideoFormat::kWebmVp9;
    EXPECT_THAT(file.texts(2), ElementsAre(VideoFile::Text{1.5, 2.5, "你好，世界"}));
    EXPECT_THAT(file.texts(3),
                ElementsAre(VideoFile::Text{1.5, 2.5, webm ? "Hello &lt;world&gt;" : "Hello <world>"},
                            VideoFile::Text{2.5, 3.5, "Bye"}));
  }
}

TEST_F(VideoRenderTest, WebmHasItsIndexInFrontToo) {
  Storyboard storyboard = SmallStoryboard();
  storyboard.format = VideoFormat::kWebmVp9;

  ASSERT_TRUE(Render(storyboard).ok());

  // Matroska's identifiers: Cues and the first Cluster.
  const std::size_t cues = bytes_.find("\x1C\x53\xBB\x6B");
  const std::size_t cluster = bytes_.find("\x1F\x43\xB6\x75");
  ASSERT_NE(cues, std::string::npos);
  // The seek head names the Cues' identifier before; the Cues themselves must come before the cluster as
  // well.
  EXPECT_LT(bytes_.find("\x1C\x53\xBB\x6B", cues + 4), cluster);
  const VideoFile file(bytes_);
  EXPECT_GT(media::testing::Ssim(file.frames()[40], Expected(storyboard, 40)), 0.93);
}

TEST_F(VideoRenderTest, BurnedInTextChangesTheFramesInItsTimeOnly) {
  const Storyboard storyboard = WithSubtitles(VideoFormat::kMp4H264);
  ASSERT_TRUE(Render(storyboard).ok());
  const VideoFile file(bytes_);
  ASSERT_EQ(file.frames().size(), 84U);

  // How much brighter than the bare picture the bottom of the frame is anywhere.
  const auto brightest = [&](std::size_t frame) {
    const media::YuvPicture bare = Expected(storyboard, frame);
    int most = 0;
    for (int y = 600; y < 720; ++y) {
      for (int x = 200; x < 520; ++x) {
        most = std::max(most, file.frames()[frame].plane(0).row(y)[x] - bare.plane(0).row(y)[x]);
      }
    }
    return most;
  };
  EXPECT_LT(brightest(34), 40) << "before the subtitle";
  EXPECT_GT(brightest(38), 60) << "in its time";
  EXPECT_LT(brightest(64), 40) << "after it, when only the track has text";
}

/// The level of one frequency between two times, in decibels (one bin of a Fourier transform). Whole seconds
/// of whole hertz: no other whole frequency counts.
double ToneBetween(std::span<const float> sound, double hertz, double from, double to) {
  std::complex<double> sum;
  const auto first = static_cast<std::size_t>(from * media::kSampleRate);
  const auto last = static_cast<std::size_t>(to * media::kSampleRate);
  for (std::size_t i = first; i < last; ++i) {
    sum += std::polar(static_cast<double>(sound[i * media::kChannels]),
                      2 * std::numbers::pi * hertz * static_cast<double>(i) / media::kSampleRate);
  }
  return 20 * std::log10(std::abs(sum) / static_cast<double>(last - first) + 1e-12);
}

TEST_F(VideoRenderTest, MusicIsDuckedUnderSpeechInTheFileToo) {
  Storyboard storyboard = SmallStoryboard();
  storyboard.shots[0].duration = seconds(6);
  media::Speech voice;
  voice.samples.resize(std::size_t{2} * media::kSampleRate);
  for (std::size_t i = 0; i < voice.samples.size(); ++i)
    voice.samples[i] = i % 160 < 80 ? 0.1F : -0.1F;  // 300 Hz.
  std::vector<media::SpeechPart> speech;
  speech.push_back({seconds(3), voice});
  media::Mixer mixer({.length = seconds(8)},
                     std::make_unique<media::testing::SoundOf>(media::testing::Sine(5000, 0.1, seconds(2))),
                     std::move(speech));
  ASSERT_TRUE(mixer.Prepare().ok());

  ASSERT_TRUE(Render(storyboard, &mixer).ok());

  const VideoFile file(bytes_);
  EXPECT_NEAR(ToneBetween(file.sound(), 5000, 3.5, 4.5), ToneBetween(file.sound(), 5000, 1, 2) - 14, 2.5);
  EXPECT_NEAR(testing::FfmpegLoudness(file.sound()), -16, 0.5);
}

TEST_F(VideoRenderTest, AVideoThatOutgrowsItsRoomFailsAndLeavesNothing) {
  FfmpegVideoEncoderFactory small({.temp_dir = ::testing::TempDir(), .max_bytes = 20'000});
  media::VideoRenderer renderer({}, small, texts_, clock_);
  media::VideoInputs inputs;
  inputs.picture = [](std::size_t shot) -> Result<media::RgbaPicture> { return CardOf(shot); };
  const auto sink = [this](BytesView bytes) -> Result<void> {
    bytes_.append(AsText(bytes));
    return {};
  };

  const auto video = renderer.Render(runtime::Context(), SmallStoryboard(), inputs, sink, {});

  ASSERT_FALSE(video.ok());
  EXPECT_EQ(video.error().reason(), "disk_full");
  EXPECT_EQ(bytes_, "");
}

TEST_F(VideoRenderTest, AFolderThatIsNotThereIsAnErrorBeforeAnyWork) {
  FfmpegVideoEncoderFactory nowhere({.temp_dir = "/no/such/folder"});

  const auto opened = nowhere.Open({.size = {64, 64}});

  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().reason(), "temp_file_failed");
}

TEST_F(VideoRenderTest, AnErrorOfTheSinkIsHandedOn) {
  media::VideoInputs inputs;
  inputs.picture = [](std::size_t shot) -> Result<media::RgbaPicture> { return CardOf(shot); };
  Storyboard storyboard = SmallStoryboard();
  storyboard.shots.resize(1);

  const auto video =
      renderer_.Render(runtime::Context(), storyboard, inputs,
                       [](BytesView) -> Result<void> { return Unavailable("store_down", "no store"); }, {});

  ASSERT_FALSE(video.ok());
  EXPECT_EQ(video.error().reason(), "store_down");
}

/// The peak memory of a process that renders a video of this length, in MiB.
double PeakMemory(Duration length) {
  const pid_t child = ::fork();
  if (child == 0) {
    const RealClock clock;
    FfmpegVideoEncoderFactory encoders({.temp_dir = ::testing::TempDir()});
    AssTextRendererFactory texts;
    media::VideoRenderer renderer({.threads = 2}, encoders, texts, clock);
    Storyboard storyboard = SmallStoryboard();
    storyboard.shots.resize(1);
    for (; storyboard.TotalDuration() < length;)
      storyboard.shots.push_back(MakeShot(media::MotionKind::kZoomOut, seconds(1)));
    media::VideoInputs inputs;
    inputs.picture = [](std::size_t shot) -> Result<media::RgbaPicture> { return CardOf(shot); };
    const auto sink = [](BytesView) -> Result<void> { return {}; };
    ::_exit(renderer.Render(runtime::Context(), storyboard, inputs, sink, {}).ok() ? 0 : 1);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  EXPECT_EQ(status, 0);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

TEST_F(VideoRenderTest, ALongVideoTakesNoMoreMemoryThanAShortOne) {
  if constexpr (kSanitized) GTEST_SKIP() << "sanitizers need several times the memory";
  const double brief = PeakMemory(seconds(3));
  const double four_times = PeakMemory(seconds(12));

  EXPECT_LT(four_times, brief * 1.08 + 4);
  EXPECT_LT(four_times, 400);
}

}  // namespace
}  // namespace mezzo::drivers
