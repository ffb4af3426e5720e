#include "mezzo/media/overlay.h"

#include <vector>

#include <gtest/gtest.h>

namespace mezzo::media {
namespace {

YuvPicture Grey(FrameSize size) {
  YuvPicture out(size);
  out.Fill(100, 128, 128);
  return out;
}

AlphaMask Square(const std::vector<std::uint8_t>& alphas, int side, int x, int y, Rgb color) {
  return {.alpha = {alphas.data(), side, side, side}, .x = x, .y = y, .color = color};
}

int Luma(const YuvPicture& picture, int x, int y) { return picture.plane(0).row(y)[x]; }

TEST(Blend, DrawsWhereTheMaskIsAndNowhereElse) {
  YuvPicture frame = Grey({16, 16});
  const std::vector<std::uint8_t> full(16, 255);

  Blend(Square(full, 4, 5, 7, {255, 255, 255}), frame);

  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 16; ++x) {
      const bool inside = x >= 5 && x < 9 && y >= 7 && y < 11;
      ASSERT_EQ(Luma(frame, x, y), inside ? 235 : 100) << x << "," << y;
    }
  }
}

TEST(Blend, MixesInProportionToAlphaAndOpacity) {
  YuvPicture frame = Grey({8, 8});
  const std::vector<std::uint8_t> half(16, 128);
  AlphaMask mask = Square(half, 4, 0, 0, {0, 0, 0});
  mask.opacity = 128;

  Blend(mask, frame);

  EXPECT_NEAR(Luma(frame, 1, 1), 100 - 84 * 0.25, 1);
}

TEST(Blend, ColorsChromaByTheMeanOfItsFourPixels) {
  YuvPicture frame = Grey({8, 8});
  const std::vector<std::uint8_t> full(16, 255);

  Blend(Square(full, 4, 1, 2, {255, 0, 0}),
        frame);  // Columns 1 to 4: the chroma samples 0 and 2 are half covered.

  const Yuv red = ToYuv(Rgb{255, 0, 0});
  EXPECT_NEAR(frame.plane(2).row(1)[0], (128 + red.v) / 2, 1);
  EXPECT_EQ(frame.plane(2).row(1)[1], red.v);
  EXPECT_NEAR(frame.plane(2).row(1)[2], (128 + red.v) / 2, 1);
  EXPECT_EQ(frame.plane(2).row(0)[1], 128);
}

TEST(Blend, CutsMasksAtEveryEdgeOfTheFrame) {
  const std::vector<std::uint8_t> full(64, 255);
  for (const auto& [x, y] :
       {std::pair(-5, 3), std::pair(13, 3), std::pair(3, -5), std::pair(3, 13), std::pair(-7, -7),
        std::pair(15, 15), std::pair(-8, 0), std::pair(16, 0), std::pair(100, 100)}) {
    YuvPicture frame = Grey({16, 16});
    Blend(Square(full, 8, x, y, {255, 255, 255}), frame);
    int drawn = 0;
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column) drawn += Luma(frame, column, row) == 235 ? 1 : 0;
    }
    const int width = std::max(0, std::min(16, x + 8) - std::max(0, x));
    const int height = std::max(0, std::min(16, y + 8) - std::max(0, y));
    EXPECT_EQ(drawn, width * height) << x << "," << y;
  }
}

RgbaPicture RedDisc(FrameSize size) {
  RgbaPicture out(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      std::uint8_t* pixel = out.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = 255;
      const double dx = x - size.width / 2.0;
      const double dy = y - size.height / 2.0;
      pixel[3] = dx * dx + dy * dy < size.width * size.width / 5.0 ? 255 : 0;
    }
  }
  return out;
}

TEST(OverlayPicture, ShowsItsColorAndLeavesWhatItDoesNotCover) {
  YuvPicture frame = Grey({64, 64});
  const OverlayPicture overlay(RedDisc({33, 33}), 10, 20, 1.0);

  overlay.DrawOn(frame);

  const Yuv red = ToYuv(Rgb{255, 0, 0});
  EXPECT_EQ(Luma(frame, 26, 36), red.y);
  EXPECT_EQ(frame.plane(2).row(18)[13], red.v);
  EXPECT_EQ(Luma(frame, 10, 20), 100) << "its corner is transparent";
  EXPECT_EQ(frame.plane(1).row(10)[5], 128);
  EXPECT_EQ(Luma(frame, 60, 60), 100);
}

TEST(OverlayPicture, OpacityLetsTheFrameThrough) {
  YuvPicture frame = Grey({64, 64});

  OverlayPicture(RedDisc({32, 32}), 0, 0, 0.5).DrawOn(frame);

  EXPECT_NEAR(Luma(frame, 16, 16), (100 + ToYuv(Rgb{255, 0, 0}).y) / 2, 1);
}

TEST(PlaceLogo, StandsInItsCornerWithAMargin) {
  constexpr FrameSize kFrame = {640, 360};
  for (const Corner corner :
       {Corner::kTopLeft, Corner::kTopRight, Corner::kBottomLeft, Corner::kBottomRight}) {
    YuvPicture frame = Grey(kFrame);
    PlaceLogo(RedDisc({500, 500}), {.picture = "logo", .corner = corner, .height = 0.25, .opacity = 1},
              kFrame)
        .DrawOn(frame);
    const bool left = corner == Corner::kTopLeft || corner == Corner::kBottomLeft;
    const bool top = corner == Corner::kTopLeft || corner == Corner::kTopRight;
    const int x = left ? 14 + 45 : 640 - 14 - 45;
    const int y = top ? 14 + 45 : 360 - 14 - 45;
    EXPECT_EQ(Luma(frame, x, y), ToYuv(Rgb{255, 0, 0}).y);
    EXPECT_EQ(Luma(frame, 320, 180), 100);
    EXPECT_EQ(Luma(frame, left ? 5 : 635, top ? 5 : 355), 100);
  }
}

TEST(PlaceLogo, AWideLogoIsNotWiderThanTwoFifthsOfTheFrame) {
  YuvPicture frame = Grey({640, 360});
  RgbaPicture banner({1000, 50});
  for (int y = 0; y < 50; ++y) std::fill_n(banner.row(y), banner.stride(), std::uint8_t{255});

  PlaceLogo(banner, {.picture = "logo", .corner = Corner::kTopLeft, .height = 0.2, .opacity = 1}, {640, 360})
      .DrawOn(frame);

  EXPECT_EQ(Luma(frame, 14 + 250, 14 + 6), 235);
  EXPECT_EQ(Luma(frame, 14 + 260, 14 + 6), 100);
}

}  // namespace
}  // namespace mezzo::media
