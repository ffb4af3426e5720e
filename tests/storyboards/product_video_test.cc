// The example storyboard as a job, with real codecs, fonts and speech; the shots are drawn. With
// MEZZO_KEEP_VIDEOS=<folder> it is made in full size, and everything stays there to be looked at.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/sanitizers.h"
#include "mezzo/drivers/ffmpeg/ass_text_renderer.h"
#include "mezzo/drivers/ffmpeg/espeak_speech_synthesizer.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_sound_decoder.h"
#include "mezzo/drivers/ffmpeg/ffmpeg_video_encoder.h"
#include "mezzo/drivers/ffmpeg/process_picture_decoder.h"
#include "mezzo/drivers/ffmpeg/testing/video_file.h"
#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"
#include "mezzo/generation/storyboard_jobs.h"
#include "mezzo/generation/testing/storyboard_fakes.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;

/// A watch before a gradient, in other colours and another size for each prompt.
media::RgbaPicture DrawWatch(std::size_t variant) {
  constexpr double kHues[] = {3.6, 0.4, 5.2, 3.0, 4.2};
  const double hue = kHues[variant % 5];
  media::RgbaPicture out({1344, 768});
  const double scale = variant % 2 == 0 ? 230 : 300;
  const double center_x = variant % 2 == 0 ? 672 : 820;
  for (int y = 0; y < 768; ++y) {
    for (int x = 0; x < 1344; ++x) {
      const double u = (x - center_x) / scale;
      const double v = (y - 384.0) / scale;
      const double radius = std::hypot(u, v);
      // A light behind the watch.
      double light = 0.10 + 0.55 * std::exp(-radius * radius * 0.35);
      double color[3] = {light * (0.55 + 0.45 * std::cos(hue)), light * (0.55 + 0.45 * std::cos(hue - 2.1)),
                         light * (0.55 + 0.45 * std::cos(hue + 2.1))};
      const auto paint = [&color](double r, double g, double b, double coverage) {
        const double a = std::clamp(coverage, 0.0, 1.0);
        color[0] += (r - color[0]) * a;
        color[1] += (g - color[1]) * a;
        color[2] += (b - color[2]) * a;
      };
      const double edge = scale / 1.5;
      paint(0.07, 0.07, 0.09, (0.52 - std::abs(u) - 0.06 * v * v) * edge);  // Strap.
      paint(0.32, 0.34, 0.38, (1.0 - radius) * edge);                       // Case.
      paint(0.02, 0.03, 0.05, (0.90 - radius) * edge);                      // Glass.
      const double angle = std::atan2(v, u);
      const double tick = std::abs(std::remainder(angle, 3.14159265 / 6)) * radius;
      paint(0.75, 0.85, 0.95, std::min(0.014 - tick, std::min(radius - 0.74, 0.84 - radius)) * edge);
      const double pulse = 0.22 * std::exp(-40 * (u - 0.1) * (u - 0.1)) * std::cos(30 * (u - 0.1));
      paint(0.0, 0.76, 1.0, std::min(0.02 - std::abs(v + pulse), 0.62 - std::abs(u)) * edge);
      std::uint8_t* pixel = out.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      for (int c = 0; c < 3; ++c)
        pixel[c] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(color[c], 0.0, 1.0)));
      pixel[3] = 255;
    }
  }
  return out;
}

class DrawingPainter final : public ShotPainter {
 public:
  Result<double> Check(const ShotOrder&) override { return 1.0; }
  Result<PaintedShot> Paint(const runtime::Context&, const ShotOrder&,
                            const std::function<void(double)>&) override {
    return PaintedShot{.picture = DrawWatch(painted_++), .device_time = {}};
  }

 private:
  std::size_t painted_ = 0;
};

class ProductVideoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if constexpr (kThreadSanitizer) {
      GTEST_SKIP()
          << "ThreadSanitizer writes a file when the child that decodes the logo starts, which it may not";
    }
  }
  ProductVideoTest() {
    std::ifstream file(MEZZO_SOURCE_DIR "/examples/storyboards/product.json");
    input_ = Json::parse(file);
    const auto png =
        pictures_->Encode(testing::Plain({200, 80}, {0, 194, 255}), media::PictureFormat::kPng, 100);
    EXPECT_TRUE(storage::WriteBlob(blobs_, *storage::BlobKey::Parse(kLogo), AsBytes(*png), {}, kNever).ok());
  }

  std::string Get(const Json& artifact) {
    const auto key = storage::BlobKey::Parse(artifact["artifact"].get<std::string>());
    const auto bytes = storage::ReadBlob(blobs_, *key, ByteCount{1} << 30U, kNever);
    EXPECT_TRUE(bytes.ok()) << bytes.error().ToString();
    EXPECT_EQ(bytes->size(), artifact["bytes"]);
    if (keep_ != nullptr) {
      std::ofstream(std::string(keep_) + "/" + std::string(key->name()), std::ios::binary) << *bytes;
    }
    return bytes.ok() ? *bytes : "";
  }
  static drivers::ProcessPictureDecoder::Options ChildOptions() {
    drivers::ProcessPictureDecoder::Options options;
    options.command = {MEZZO_PICTURE_CHILD};
    return options;
  }

  static constexpr const char* kLogo = "shop/uploads/1/logo.png";
  const char* keep_ = std::getenv("MEZZO_KEEP_VIDEOS");
  RealClock clock_;
  storage::testing::MemoryBlobStore blobs_{clock_};
  DrawingPainter painter_;
  FileFetcher files_{{}, clock_};
  drivers::ProcessPictureDecoder uploads_{ChildOptions(), clock_};
  Result<drivers::VipsPictureCodec> pictures_ = drivers::VipsPictureCodec::Create();
  drivers::FfmpegSoundDecoder sounds_{{}};
  drivers::EspeakSpeechSynthesizer speech_{{}, sounds_, clock_};
  drivers::FfmpegVideoEncoderFactory encoders_{{.temp_dir = ::testing::TempDir()}};
  drivers::AssTextRendererFactory texts_;
  media::VideoRenderer renderer_{{.threads = 2}, encoders_, texts_, clock_};
  StoryboardJobs handler_{{},
                          {painter_, blobs_, files_, uploads_, *pictures_, sounds_, speech_, renderer_,
                           clock_, [] { return media::DegradationLevel::kFull; }}};
  Json input_;
  std::string checkpoint_;
};

TEST_F(ProductVideoTest, TheExampleBecomesTheVideoThatItDescribes) {
  if (keep_ == nullptr) input_.update({{"resolution", "720p"}, {"aspect", "square"}, {"fps", 24}});
  input_["logo"] = {{"picture", kLogo}, {"height", 0.06}};
  const Json request = {{"model", "drawn"}, {"input", input_}};
  ASSERT_TRUE(handler_.Check(TenantId("shop"), request.dump()).ok());
  testing::FakeRun run(
      {.fence = {jobs::JobId("job1"), 1}, .tenant = TenantId("shop"), .request = request.dump()},
      checkpoint_);

  const auto answer = handler_.Run(run);

  ASSERT_TRUE(answer.ok()) << answer.error().ToString();
  const Json result = Json::parse(*answer);
  EXPECT_EQ(result["video"]["duration_seconds"], 15.0);
  EXPECT_EQ(result["notes"], Json::array()) << "all speech fits";
  drivers::testing::VideoFile video(Get(result["video"]), /*decode=*/false);
  EXPECT_THAT(video.Boxes(), ElementsAre("ftyp", "moov", "free", "mdat"));
  EXPECT_NEAR(video.duration(), 15, 0.05);
  ASSERT_EQ(video.streams().size(), 4U);
  EXPECT_EQ(video.streams()[0].codec, "h264");
  EXPECT_EQ(video.streams()[0].packets, result["video"]["frames"]);
  EXPECT_EQ(video.streams()[1].codec, "aac");
  EXPECT_EQ(video.texts(2).size(), 5U);
  EXPECT_THAT(video.texts(3).front().text, ::testing::StartsWith("Lumen 2. Made for"));
  ASSERT_EQ(result["subtitles"].size(), 2U);
  EXPECT_THAT(Get(result["subtitles"][0]), ::testing::HasSubstr("一次充电，十四天自由。"));
  EXPECT_THAT(Get(result["subtitles"][1]), ::testing::HasSubstr("00:00:06.000 --> 00:00:09.000"));
  for (const char* picture : {"thumbnail", "sprites"}) {
    const auto header = media::ReadPictureHeader(AsBytes(Get(result[picture])));
    ASSERT_TRUE(header.ok()) << picture;
    EXPECT_EQ(header->format, media::PictureFormat::kWebp);
  }
}

}  // namespace
}  // namespace mezzo::generation
