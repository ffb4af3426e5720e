#include "mezzo/media/compositor.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "mezzo/media/prepare_picture.h"
#include "mezzo/media/testing/test_pictures.h"

namespace mezzo::media {
namespace {

constexpr FrameSize kFrame = {320, 180};

YuvPicture Flat(std::uint8_t luma, FrameSize size = kFrame) {
  YuvPicture out(size);
  out.Fill(luma, 100, 150);
  return out;
}

FramePlan Between(TransitionKind kind, double phase, Direction direction = Direction::kLeft) {
  return {.current = {1, {}},
          .previous = Layer{0, {}},
          .transition = kind,
          .direction = direction,
          .phase = phase};
}

bool Equal(const YuvPicture& a, const YuvPicture& b) {
  for (int p = 0; p < YuvPicture::kPlanes; ++p) {
    for (int y = 0; y < a.plane(p).height; ++y) {
      if (std::memcmp(a.plane(p).row(y), b.plane(p).row(y), static_cast<std::size_t>(a.plane(p).width)) != 0)
        return false;
    }
  }
  return true;
}

int Luma(const YuvPicture& picture, int x, int y) { return picture.plane(0).row(y)[x]; }

TEST(Compositor, AStillViewIsThePictureItself) {
  const YuvPicture picture =
      PreparePicture(testing::DrawTestCard({640, 360}, 1), kFrame, {}, PictureFit::kCover, {});
  Compositor compositor({.frame = kFrame});
  YuvPicture out(kFrame);

  compositor.Draw({}, picture, nullptr, out);

  EXPECT_TRUE(Equal(picture, out));
}

TEST(Compositor, TheResultDoesNotDependOnTheNumberOfThreads) {
  const Motion motion{MotionKind::kZoomIn, 0.2};
  const YuvPicture a =
      PreparePicture(testing::DrawTestCard({500, 400}, 1), kFrame, motion, PictureFit::kCover, {});
  const YuvPicture b =
      PreparePicture(testing::DrawTestCard({500, 400}, 2), kFrame, motion, PictureFit::kCover, {});
  FramePlan plan = Between(TransitionKind::kWipe, 0.4);
  plan.current.view = ViewAt(motion, 0.1);
  plan.previous->view = ViewAt(motion, 0.9);
  YuvPicture reference(kFrame);
  Compositor({.frame = kFrame, .threads = 1}).Draw(plan, b, &a, reference);

  for (const int threads : {2, 3, 7}) {
    YuvPicture out(kFrame);
    Compositor({.frame = kFrame, .threads = threads}).Draw(plan, b, &a, out);
    EXPECT_TRUE(Equal(reference, out)) << threads;
  }
}

TEST(Compositor, AFadeMixesInProportion) {
  Compositor compositor({.frame = kFrame});
  const YuvPicture before = Flat(40);
  const YuvPicture after = Flat(200);
  YuvPicture out(kFrame);

  for (const double phase : {0.0, 0.25, 0.5, 1.0}) {
    compositor.Draw(Between(TransitionKind::kFade, phase), after, &before, out);
    EXPECT_NEAR(Luma(out, 17, 91), 40 + 160 * phase, 1);
    EXPECT_EQ(out.plane(1).row(50)[50], 100);
  }
}

TEST(Compositor, ASlidePushesTheOldPictureOutOnTheRightSide) {
  Compositor compositor({.frame = kFrame});
  const YuvPicture before = Flat(40);
  const YuvPicture after = Flat(200);
  YuvPicture out(kFrame);

  compositor.Draw(Between(TransitionKind::kSlide, 0.25, Direction::kLeft), after, &before, out);
  EXPECT_EQ(Luma(out, 239, 90), 40);
  EXPECT_EQ(Luma(out, 240, 90), 200);
  compositor.Draw(Between(TransitionKind::kSlide, 0.25, Direction::kRight), after, &before, out);
  EXPECT_EQ(Luma(out, 79, 90), 200);
  EXPECT_EQ(Luma(out, 80, 90), 40);
  compositor.Draw(Between(TransitionKind::kSlide, 0.5, Direction::kUp), after, &before, out);
  EXPECT_EQ(Luma(out, 10, 89), 40);
  EXPECT_EQ(Luma(out, 10, 90), 200);
  compositor.Draw(Between(TransitionKind::kSlide, 0.5, Direction::kDown), after, &before, out);
  EXPECT_EQ(Luma(out, 10, 89), 200);
  EXPECT_EQ(Luma(out, 10, 90), 40);
}

TEST(Compositor, ASlideMovesThePictureWithItsColor) {
  Compositor compositor({.frame = kFrame});
  YuvPicture before = Flat(40);
  before.plane(0).row(90)[200] = 235;  // A dot,
  before.plane(1).row(45)[100] = 200;  // and its colour.
  YuvPicture out(kFrame);

  compositor.Draw(Between(TransitionKind::kSlide, 0.1, Direction::kLeft), Flat(200), &before, out);

  EXPECT_EQ(Luma(out, 200 - 32, 90), 235);
  EXPECT_EQ(out.plane(1).row(45)[100 - 16], 200);
}

TEST(Compositor, AWipeHasASoftEdgeThatCrossesTheWholeFrame) {
  Compositor compositor({.frame = kFrame});
  const YuvPicture before = Flat(40);
  const YuvPicture after = Flat(200);
  YuvPicture out(kFrame);

  compositor.Draw(Between(TransitionKind::kWipe, 0, Direction::kRight), after, &before, out);
  EXPECT_TRUE(Equal(out, before));
  compositor.Draw(Between(TransitionKind::kWipe, 1, Direction::kRight), after, &before, out);
  EXPECT_TRUE(Equal(out, after));
  compositor.Draw(Between(TransitionKind::kWipe, 0.5, Direction::kRight), after, &before, out);
  EXPECT_EQ(Luma(out, 5, 90), 200);
  EXPECT_EQ(Luma(out, 314, 90), 40);
  int between = 0;
  for (int x = 1; x < kFrame.width; ++x) {
    EXPECT_LE(Luma(out, x, 90), Luma(out, x - 1, 90));
    if (Luma(out, x, 90) > 45 && Luma(out, x, 90) < 195) ++between;
  }
  EXPECT_GT(between, 20);
}

TEST(Compositor, WipesBeginOnTheSideTheyComeFrom) {
  Compositor compositor({.frame = kFrame});
  const YuvPicture before = Flat(40);
  const YuvPicture after = Flat(200);
  YuvPicture out(kFrame);

  compositor.Draw(Between(TransitionKind::kWipe, 0.3, Direction::kLeft), after, &before, out);
  EXPECT_EQ(Luma(out, 319, 90), 200);
  EXPECT_EQ(Luma(out, 0, 90), 40);
  compositor.Draw(Between(TransitionKind::kWipe, 0.3, Direction::kDown), after, &before, out);
  EXPECT_EQ(Luma(out, 160, 0), 200);
  EXPECT_EQ(Luma(out, 160, 179), 40);
  compositor.Draw(Between(TransitionKind::kWipe, 0.3, Direction::kUp), after, &before, out);
  EXPECT_EQ(Luma(out, 160, 179), 200);
  EXPECT_EQ(Luma(out, 160, 0), 40);
}

/// The centre of brightness of a frame, in pixels.
double CenterOfLight(const YuvPicture& frame) {
  double sum = 0;
  double moment = 0;
  const PlaneView luma = frame.plane(0);
  for (int y = 0; y < luma.height; ++y) {
    for (int x = 0; x < luma.width; ++x) {
      sum += luma.row(y)[x] - 16;
      moment += (luma.row(y)[x] - 16.0) * x;
    }
  }
  return moment / sum;
}

TEST(Compositor, ASlowPanMovesByTheSamePartOfAPixelInEveryFrame) {
  const Motion motion{MotionKind::kPanRight, 0.1};
  RgbaPicture dot({352, 198});
  for (int y = 0; y < 198; ++y) {
    for (int x = 0; x < 352; ++x) {
      const double distance = std::hypot(x - 180.0, y - 99.0);
      std::uint8_t* pixel = dot.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      const auto light = static_cast<std::uint8_t>(distance < 20 ? 255 : 0);
      pixel[0] = pixel[1] = pixel[2] = light;
      pixel[3] = 255;
    }
  }
  const YuvPicture picture = PreparePicture(dot, kFrame, motion, PictureFit::kCover, {});
  Compositor compositor({.frame = kFrame});
  YuvPicture out(kFrame);

  constexpr int kFrames = 100;  // 0.32 pixels each.
  double last = 0;
  for (int i = 0; i < kFrames; ++i) {
    compositor.Draw({.current = {0, ViewAt(motion, static_cast<double>(i) / kFrames)}}, picture, nullptr,
                    out);
    const double now = CenterOfLight(out);
    if (i > 0) {
      EXPECT_NEAR(last - now, 0.32, 0.02) << "frame " << i;
    }
    last = now;
  }
}

TEST(PreparePicture, CoverFillsTheFrameFromTheMiddleOfThePicture) {
  RgbaPicture tall({100, 400});
  for (int y = 0; y < 400; ++y) {
    for (int x = 0; x < 100; ++x) {
      std::uint8_t* pixel = tall.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = pixel[1] = pixel[2] = static_cast<std::uint8_t>(y >= 160 && y < 240 ? 255 : 0);
      pixel[3] = 255;
    }
  }

  const YuvPicture out = PreparePicture(tall, kFrame, {MotionKind::kZoomIn, 0.25}, PictureFit::kCover, {});

  EXPECT_EQ(out.size(), (FrameSize{400, 226}));
  EXPECT_EQ(Luma(out, 5, 5), 235);
  EXPECT_EQ(Luma(out, 395, 218), 235);
}

TEST(PreparePicture, ContainShowsTheWholePictureBeforeASoftBackdrop) {
  RgbaPicture tall({100, 400});
  for (int y = 0; y < 400; ++y) {
    for (int x = 0; x < 100; ++x) {
      std::uint8_t* pixel = tall.row(y) + static_cast<std::ptrdiff_t>(x) * 4;
      pixel[0] = pixel[1] = pixel[2] = static_cast<std::uint8_t>(y < 200 ? 255 : 128);
      pixel[3] = 255;
    }
  }

  const YuvPicture out = PreparePicture(tall, kFrame, {}, PictureFit::kContain, {});

  EXPECT_EQ(out.size(), kFrame);
  EXPECT_EQ(Luma(out, 160, 20), 235) << "the top of the picture";
  EXPECT_NEAR(Luma(out, 160, 160), 126, 2) << "its bottom";
  EXPECT_LT(Luma(out, 20, 20), 200) << "the backdrop is darker";
  EXPECT_GT(Luma(out, 20, 20), 60);
}

TEST(PreparePicture, TakesPicturesOfOnePixel) {
  RgbaPicture dot({1, 1});
  dot.row(0)[0] = dot.row(0)[3] = 255;

  for (const PictureFit fit : {PictureFit::kCover, PictureFit::kContain}) {
    const YuvPicture out = PreparePicture(dot, kFrame, {}, fit, {});
    EXPECT_EQ(Luma(out, 160, 90), ToYuv(Rgb{255, 0, 0}).y);
  }
}

}  // namespace
}  // namespace mezzo::media
