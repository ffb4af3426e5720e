#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <vips/vips.h>

#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::drivers {
namespace {

using media::FrameSize;
using media::PictureFormat;
using media::RgbaPicture;
using media::testing::DrawTestCard;

class PictureCodecTest : public ::testing::Test {
 protected:
  std::string Encode(const RgbaPicture& picture, PictureFormat format, int quality = 90) {
    auto file = codec_->Encode(picture, format, quality);
    EXPECT_TRUE(file.ok()) << file.error().ToString();
    return file.ok() ? *file : "";
  }
  Result<RgbaPicture> Decode(const std::string& file, media::PictureLimits limits = {}, FrameSize fit = {}) {
    return codec_->Decode(AsBytes(file), limits, fit);
  }
  std::string ReasonOf(const std::string& file, media::PictureLimits limits = {}) {
    const auto decoded = Decode(file, limits);
    return decoded.ok() ? "it was taken" : decoded.error().reason();
  }

  Result<VipsPictureCodec> codec_ = VipsPictureCodec::Create();
};

double Similarity(const RgbaPicture& a, const RgbaPicture& b) {
  return media::testing::Ssim(ToYuv(a, {}), ToYuv(b, {}));
}

TEST_F(PictureCodecTest, PngKeepsEveryPixelAndItsTransparency) {
  RgbaPicture card = DrawTestCard({61, 43}, 1);
  for (int y = 0; y < 43; ++y) {
    for (int x = 0; x < 61; ++x) card.row(y)[x * 4 + 3] = static_cast<std::uint8_t>(x * 4);
  }

  const auto back = Decode(Encode(card, PictureFormat::kPng));

  ASSERT_TRUE(back.ok()) << back.error().ToString();
  ASSERT_EQ(back->size(), card.size());
  for (int y = 0; y < 43; ++y)
    ASSERT_TRUE(std::equal(card.row(y), card.row(y) + card.stride(), back->row(y))) << y;
}

TEST_F(PictureCodecTest, JpegAndWebpLookLikeThePicture) {
  const RgbaPicture card = DrawTestCard({320, 240}, 2);
  for (const PictureFormat format : {PictureFormat::kJpeg, PictureFormat::kWebp}) {
    const std::string file = Encode(card, format);
    EXPECT_EQ(media::ReadPictureHeader(AsBytes(file))->format, format);
    const auto back = Decode(file);
    ASSERT_TRUE(back.ok()) << back.error().ToString();
    EXPECT_GT(Similarity(card, *back), 0.95);
  }
}

TEST_F(PictureCodecTest, LowerQualityIsSmaller) {
  const RgbaPicture card = DrawTestCard({320, 240}, 2);
  for (const PictureFormat format : {PictureFormat::kJpeg, PictureFormat::kWebp}) {
    EXPECT_LT(Encode(card, format, 30).size() * 3, Encode(card, format, 95).size() * 2);
  }
}

TEST_F(PictureCodecTest, JpegShowsWhiteWhereThePictureIsTransparent) {
  const auto back = Decode(Encode(RgbaPicture({16, 16}), PictureFormat::kJpeg));

  ASSERT_TRUE(back.ok());
  EXPECT_GE(back->row(8)[32], 254);
}

TEST_F(PictureCodecTest, LimitsAreExact) {
  const std::string file = Encode(DrawTestCard({100, 50}, 1), PictureFormat::kPng);

  EXPECT_EQ(ReasonOf(file, {.max_pixels = 5000}), "it was taken");
  EXPECT_EQ(ReasonOf(file, {.max_pixels = 4999}), "picture_too_large");
  EXPECT_EQ(ReasonOf(file, {.max_side = 100}), "it was taken");
  EXPECT_EQ(ReasonOf(file, {.max_side = 99}), "picture_too_large");
  EXPECT_EQ(ReasonOf(file, {.max_bytes = file.size()}), "it was taken");
  EXPECT_EQ(ReasonOf(file, {.max_bytes = file.size() - 1}), "picture_too_large");
  EXPECT_EQ(Decode(file, {.max_pixels = 4999}).error().message(),
            "the picture has 100 x 50 = 5000 pixels; the limit is 4999");
}

TEST_F(PictureCodecTest, ABombIsRefusedByItsHeader) {
  // A header of 16,000 x 16,000 pixels and nothing behind it: refused for its size, not for its end.
  std::string bomb = Encode(DrawTestCard({16, 16}, 1), PictureFormat::kPng);
  bomb.replace(16, 8, std::string("\x00\x00\x3E\x80\x00\x00\x3E\x80", 8));

  EXPECT_EQ(ReasonOf(bomb), "picture_too_large");
}

TEST_F(PictureCodecTest, DamagedAndForeignFilesAreRefused) {
  const std::string jpeg = Encode(DrawTestCard({200, 150}, 1), PictureFormat::kJpeg);
  const std::string png = Encode(DrawTestCard({200, 150}, 1), PictureFormat::kPng);

  EXPECT_EQ(ReasonOf(jpeg.substr(0, jpeg.size() / 2)), "picture_invalid");
  EXPECT_EQ(ReasonOf(png.substr(0, png.size() / 2)), "picture_invalid");
  EXPECT_EQ(ReasonOf("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"), "picture_invalid");
  EXPECT_EQ(ReasonOf("GIF89a\x01\x00\x01\x00\x80"), "picture_invalid");
  EXPECT_EQ(ReasonOf(""), "picture_invalid");
}

TEST_F(PictureCodecTest, OtherLoadersOfTheLibraryAreBlocked) {
  const std::string svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>";

  VipsImage* image = vips_image_new_from_buffer(svg.data(), svg.size(), "", nullptr);

  EXPECT_EQ(image, nullptr);
  vips_error_clear();
}

TEST_F(PictureCodecTest, LargePicturesAreMadeSmallerToCoverTheFit) {
  const RgbaPicture card = DrawTestCard({1200, 800}, 3);
  for (const PictureFormat format : {PictureFormat::kPng, PictureFormat::kJpeg, PictureFormat::kWebp}) {
    const auto small = Decode(Encode(card, format), {}, {300, 100});
    ASSERT_TRUE(small.ok()) << small.error().ToString();
    EXPECT_EQ(small->size(), (FrameSize{300, 200}));
    EXPECT_GT(Similarity(*small, DrawTestCard({300, 200}, 3)), 0.5);
  }
  EXPECT_EQ(Decode(Encode(card, PictureFormat::kPng), {}, {5000, 5000})->size(), (FrameSize{1200, 800}))
      << "never larger";
}

/// A JPEG with an Exif orientation, which our encoder does not write.
std::string Oriented(const RgbaPicture& picture, int orientation) {
  VipsImage* raw = vips_image_new_from_memory(
      picture.row(0), picture.stride() * static_cast<std::size_t>(picture.size().height),
      picture.size().width, picture.size().height, 4, VIPS_FORMAT_UCHAR);
  VipsImage* image = nullptr;
  vips_copy(raw, &image, "interpretation", VIPS_INTERPRETATION_sRGB, nullptr);
  vips_image_set_int(image, VIPS_META_ORIENTATION, orientation);
  void* buffer = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(vips_jpegsave_buffer(image, &buffer, &size, "Q", 95, nullptr), 0);
  std::string out(static_cast<const char*>(buffer), size);
  g_free(buffer);
  g_object_unref(image);
  g_object_unref(raw);
  return out;
}

TEST_F(PictureCodecTest, TurnsPicturesUpright) {
  RgbaPicture half({80, 40});  // Its left half is white.
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 80; ++x) {
      std::uint8_t* pixel = half.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = pixel[1] = pixel[2] = x < 40 ? 255 : 0;
      pixel[3] = 255;
    }
  }

  const auto turned = Decode(Oriented(half, 6));  // "Turn by 90 degrees clockwise."

  ASSERT_TRUE(turned.ok());
  ASSERT_EQ(turned->size(), (FrameSize{40, 80}));
  EXPECT_GT(turned->row(10)[80], 250) << "what was left is now on top";
  EXPECT_LT(turned->row(70)[80], 5);
  EXPECT_EQ(Decode(Oriented(half, 6), {}, {20, 20})->size(), (FrameSize{20, 40}))
      << "the fit is of the upright picture";
}

}  // namespace
}  // namespace mezzo::drivers
