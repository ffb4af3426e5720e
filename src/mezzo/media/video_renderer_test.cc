#include "mezzo/media/video_renderer.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/media/sprite_sheet.h"
#include "mezzo/media/testing/sounds.h"
#include "mezzo/media/testing/test_pictures.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

/// What an encoder was given.
struct Recording {
  EncoderSettings settings;
  std::size_t frames = 0;
  std::size_t sound_frames = 0;
  std::size_t most_sound_ahead = 0;
  std::size_t fail_at = SIZE_MAX;
};

class RecordingEncoder final : public VideoEncoder {
 public:
  explicit RecordingEncoder(Recording& to) : to_(to) {}
  Result<void> WriteFrame(const YuvPicture&) override {
    if (to_.frames == to_.fail_at) return Internal("encoder_failed", "as told");
    ++to_.frames;
    return {};
  }
  Result<void> WriteAudio(std::span<const float> samples) override {
    to_.sound_frames += samples.size() / kChannels;
    const std::size_t due = to_.frames * kSampleRate / static_cast<std::size_t>(to_.settings.fps);
    if (to_.sound_frames > due) to_.most_sound_ahead = std::max(to_.most_sound_ahead, to_.sound_frames - due);
    return {};
  }
  Result<EncodedVideo> Finish(const ByteSink& sink) override {
    MEZZO_TRY_VOID(sink(AsBytes("file")));
    return EncodedVideo{.bytes = 4, .frames = to_.frames};
  }

 private:
  Recording& to_;
};

class RecordingFactory final : public VideoEncoderFactory {
 public:
  Result<std::unique_ptr<VideoEncoder>> Open(const EncoderSettings& settings) override {
    recording.settings = settings;
    return std::unique_ptr<VideoEncoder>(std::make_unique<RecordingEncoder>(recording));
  }
  Recording recording;
};

class NoText final : public TextRendererFactory {
 public:
  class Blank final : public TextRenderer {
    std::span<const AlphaMask> Render(Duration) override { return {}; }
  };
  Result<std::unique_ptr<TextRenderer>> Open(const std::string& script, FrameSize) override {
    last_script = script;
    return std::unique_ptr<TextRenderer>(std::make_unique<Blank>());
  }
  std::string last_script;
};

class VideoRendererTest : public ::testing::Test {
 protected:
  VideoRendererTest() {
    storyboard_.resolution = Resolution::k720p;
    storyboard_.aspect = Aspect::kSquare;
    storyboard_.style = "technology";
    storyboard_.fps = 24;
    storyboard_.shots.resize(3);
    for (Shot& shot : storyboard_.shots) shot.duration = milliseconds(500);
    storyboard_.shots[1].transition = {TransitionKind::kFade, milliseconds(200), Direction::kLeft};
    inputs_.picture = [this](std::size_t shot) -> Result<RgbaPicture> {
      asked_.push_back(shot);
      return testing::DrawTestCard({100, 80}, static_cast<int>(shot));
    };
  }

  Result<RenderedVideo> Render(const runtime::Context& ctx = runtime::Context()) {
    return renderer_.Render(
        ctx, storyboard_, inputs_,
        [this](BytesView bytes) -> Result<void> {
          file_ += AsText(bytes);
          return {};
        },
        [this](double part) {
          progress_.push_back(part);
          if (on_progress_) on_progress_();
        });
  }

  Storyboard storyboard_;
  VideoInputs inputs_;
  std::vector<std::size_t> asked_;
  std::vector<double> progress_;
  std::function<void()> on_progress_;
  std::string file_;
  RecordingFactory encoders_;
  NoText texts_;
  mezzo::testing::ManualClock clock_;
  VideoRenderer renderer_{{}, encoders_, texts_, clock_};
};

TEST_F(VideoRendererTest, EncodesEveryFrameAndHandsOutTheFile) {
  const auto video = Render();

  ASSERT_TRUE(video.ok()) << video.error().ToString();
  EXPECT_EQ(encoders_.recording.frames, 36U);
  EXPECT_EQ(encoders_.recording.settings.size, (FrameSize{720, 720}));
  EXPECT_EQ(file_, "file");
  EXPECT_THAT(progress_, ElementsAre(24.0 / 36));
  EXPECT_EQ(video->thumbnail.size(), (FrameSize{640, 640}));
  EXPECT_EQ(video->sprite_count, 5U);
}

TEST_F(VideoRendererTest, AsksForEachPictureOnceWhenItsShotBegins) {
  ASSERT_TRUE(Render().ok());

  EXPECT_THAT(asked_, ElementsAre(0, 1, 2));
}

TEST_F(VideoRendererTest, SoundGoesAlongWithTheFrames) {
  Mixer mixer({.length = milliseconds(1500)},
              std::make_unique<testing::SoundOf>(testing::Sine(500, 0.1, seconds(1))), {});
  ASSERT_TRUE(mixer.Prepare().ok());
  inputs_.sound = &mixer;

  ASSERT_TRUE(Render().ok());

  EXPECT_TRUE(encoders_.recording.settings.has_audio);
  EXPECT_EQ(encoders_.recording.sound_frames, 72'000U);
  EXPECT_LE(encoders_.recording.most_sound_ahead, 1U);
}

TEST_F(VideoRendererTest, SubtitlesBecomeTracksAndAreBurnedInAsAsked) {
  storyboard_.shots[1].subtitles[0] = "你好";
  storyboard_.shots[1].subtitles[1] = "Hello";
  storyboard_.subtitles.burn[0] = true;

  const auto video = Render();

  ASSERT_TRUE(video.ok());
  EXPECT_EQ(encoders_.recording.settings.subtitles.size(), 2U);
  EXPECT_EQ(video->subtitles.size(), 2U);
  EXPECT_NE(texts_.last_script.find("你好"), std::string::npos);
  EXPECT_EQ(texts_.last_script.find("Hello"), std::string::npos);
}

TEST_F(VideoRendererTest, StopsSoonAfterItIsCancelled) {
  const runtime::Context ctx;
  on_progress_ = [&ctx] { ctx.Cancel(); };

  const auto video = Render(ctx);

  ASSERT_FALSE(video.ok());
  EXPECT_EQ(video.error().code(), Code::kCancelled);
  EXPECT_EQ(encoders_.recording.frames, 24U);
  EXPECT_EQ(file_, "");
}

TEST_F(VideoRendererTest, StopsAtItsDeadline) {
  on_progress_ = [this] { clock_.Advance(seconds(10)); };

  const auto video = Render(runtime::Context().WithDeadline(clock_.Now() + seconds(5)));

  ASSERT_FALSE(video.ok());
  EXPECT_EQ(video.error().reason(), "deadline");
  EXPECT_EQ(encoders_.recording.frames, 24U);
}

TEST_F(VideoRendererTest, HandsOnWhatPicturesAndEncoderSay) {
  inputs_.picture = [](std::size_t shot) -> Result<RgbaPicture> {
    if (shot == 1) return NotFound("picture_missing", "gone");
    return testing::DrawTestCard({100, 80}, 0);
  };
  EXPECT_EQ(Render().error().reason(), "picture_missing");
  encoders_.recording = {.fail_at = 5};
  EXPECT_EQ(Render().error().reason(), "encoder_failed");
}

TEST(SpriteSheet, HasOneSmallPictureASecondInReadingOrder) {
  Storyboard storyboard;
  storyboard.fps = 24;
  storyboard.shots.resize(1);
  storyboard.shots[0].duration = seconds(10);
  const Timeline timeline(storyboard);
  SpriteSheet sheet(timeline, {640, 360});

  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < timeline.frames(); ++i) {
    if (!sheet.Wants(i)) continue;
    wanted.push_back(i);
    YuvPicture frame({640, 360});
    frame.Fill(static_cast<std::uint8_t>(16 + 20 * wanted.size()), 128, 128);
    sheet.Add(i, frame);
  }

  EXPECT_THAT(wanted, ElementsAre(12, 36, 60, 84, 108, 132, 156, 180, 204, 228));
  EXPECT_EQ(sheet.tile(), (FrameSize{160, 90}));
  EXPECT_EQ(sheet.columns(), 4);
  EXPECT_EQ(sheet.picture().size(), (FrameSize{640, 270}));
  int last = -1;
  for (int i = 0; i < 10; ++i) {
    const std::uint8_t* pixel = sheet.picture().row(i / 4 * 90 + 45) + (i % 4 * 160 + 80) * 4;
    EXPECT_GT(pixel[0], last);
    last = pixel[0];
  }
}

TEST(MakeThumbnail, KeepsTheShapeAndNeverGrows) {
  YuvPicture frame({1080, 1920});
  EXPECT_EQ(MakeThumbnail(frame, 640).size(), (FrameSize{360, 640}));
  EXPECT_EQ(MakeThumbnail(YuvPicture({64, 48}), 640).size(), (FrameSize{64, 48}));
}

}  // namespace
}  // namespace mezzo::media
