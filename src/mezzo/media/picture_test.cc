#include "mezzo/media/picture.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::media {
namespace {

TEST(Picture, KnownColorsHaveTheirBt709Codes) {
  // ITU-R BT.709-6, limited range, rounded.
  EXPECT_EQ(ToYuv(Rgb{0, 0, 0}), (Yuv{16, 128, 128}));
  EXPECT_EQ(ToYuv(Rgb{255, 255, 255}), (Yuv{235, 128, 128}));
  EXPECT_EQ(ToYuv(Rgb{255, 0, 0}), (Yuv{63, 102, 240}));
  EXPECT_EQ(ToYuv(Rgb{0, 255, 0}), (Yuv{173, 42, 26}));
  EXPECT_EQ(ToYuv(Rgb{0, 0, 255}), (Yuv{32, 240, 118}));
}

TEST(Picture, ColorsComeBackWithinTwoCodes) {
  for (int r = 0; r < 256; r += 15) {
    for (int g = 0; g < 256; g += 15) {
      for (int b = 0; b < 256; b += 15) {
        const Rgb color{static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g),
                        static_cast<std::uint8_t>(b)};
        const Rgb back = ToRgb(ToYuv(color));
        ASSERT_LE(std::abs(back.r - r), 2);
        ASSERT_LE(std::abs(back.g - g), 2);
        ASSERT_LE(std::abs(back.b - b), 2);
      }
    }
  }
}

TEST(Picture, TransparencyShowsTheBackground) {
  RgbaPicture picture({2, 2});
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 2; ++x) picture.row(y)[x * 4] = 255;  // Red, but not seen.
  }

  const YuvPicture out = ToYuv(picture, {0, 0, 255});

  EXPECT_EQ(out.plane(0).row(0)[0], ToYuv(Rgb{0, 0, 255}).y);
  EXPECT_EQ(out.plane(1).row(0)[0], ToYuv(Rgb{0, 0, 255}).u);
}

TEST(Picture, OddSidesGrowByRepeatingTheirEdge) {
  const RgbaPicture card = testing::DrawTestCard({5, 3}, 1);

  const YuvPicture out = ToYuv(card, {});

  EXPECT_EQ(out.size(), (FrameSize{6, 4}));
  EXPECT_EQ(out.plane(0).row(1)[5], out.plane(0).row(1)[4]);
  EXPECT_EQ(out.plane(0).row(3)[2], out.plane(0).row(2)[2]);
}

TEST(Picture, CopiesAreEqualAndIndependent) {
  YuvPicture a = ToYuv(testing::DrawTestCard({34, 18}, 2), {});
  const YuvPicture b = a;
  EXPECT_EQ(testing::Ssim(a, b), 1.0);

  a.Fill(0, 0, 0);

  EXPECT_NE(b.plane(0).row(5)[5], 0);
}

TEST(Picture, RgbaRoundTripKeepsThePicture) {
  const YuvPicture once = ToYuv(testing::DrawTestCard({64, 48}, 3), {});

  EXPECT_GT(testing::Ssim(once, ToYuv(ToRgba(once), {})), 0.999);
}

}  // namespace
}  // namespace mezzo::media
