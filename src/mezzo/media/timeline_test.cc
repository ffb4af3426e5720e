#include "mezzo/media/timeline.h"

#include <cmath>

#include <gtest/gtest.h>

namespace mezzo::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Storyboard TwoShots(Transition transition) {
  Storyboard out;
  out.fps = 25;
  out.shots.resize(2);
  out.shots[0].duration = seconds(2);
  out.shots[0].motion = {MotionKind::kZoomIn, 0.25};
  out.shots[1].duration = seconds(3);
  out.shots[1].transition = transition;
  return out;
}

constexpr Transition kFade = {TransitionKind::kFade, seconds(1), Direction::kLeft};

TEST(Timeline, HasOneFrameForEachFrameTime) {
  const Timeline timeline(TwoShots(kFade));

  EXPECT_EQ(timeline.frames(), 125U);
  EXPECT_EQ(timeline.duration(), seconds(5)) << "transitions take no time of their own";
  EXPECT_EQ(timeline.TimeOf(25), seconds(1));
  EXPECT_EQ(timeline.shot_span(1), (Span{seconds(2), seconds(5)}));
}

TEST(Timeline, CutsExactlyAtTheFirstFrameOfAShot) {
  const Timeline timeline(TwoShots({}));

  EXPECT_EQ(timeline.At(49).current.shot, 0U);
  EXPECT_EQ(timeline.At(50).current.shot, 1U);
  EXPECT_FALSE(timeline.At(50).previous.has_value());
  EXPECT_EQ(timeline.LastFrameOf(0), 49U);
}

TEST(Timeline, ATransitionShowsBothShotsForItsWholeTime) {
  const Timeline timeline(TwoShots(kFade));

  EXPECT_FALSE(timeline.At(49).previous.has_value());
  for (std::size_t frame = 50; frame < 75; ++frame) {
    const FramePlan plan = timeline.At(frame);
    ASSERT_TRUE(plan.previous.has_value()) << frame;
    EXPECT_EQ(plan.previous->shot, 0U);
    EXPECT_EQ(plan.current.shot, 1U);
    EXPECT_NEAR(plan.phase, (static_cast<double>(frame) - 50 + 0.5) / 25, 1e-9);
  }
  EXPECT_FALSE(timeline.At(75).previous.has_value());
  EXPECT_EQ(timeline.LastFrameOf(0), 74U);
  EXPECT_EQ(timeline.LastFrameOf(1), 124U);
}

TEST(Timeline, SlidesAreEasedAndPassTheirMiddleInTheMiddle) {
  const Timeline timeline(TwoShots({TransitionKind::kSlide, seconds(1), Direction::kUp}));

  EXPECT_LT(timeline.At(50).phase, 0.01);
  EXPECT_NEAR(timeline.At(62).phase, 0.5, 1e-9);
  EXPECT_GT(timeline.At(74).phase, 0.99);
  EXPECT_EQ(timeline.At(60).direction, Direction::kUp);
}

TEST(Timeline, TheViewGoesOnMovingThroughTheTransition) {
  const Timeline timeline(TwoShots(kFade));

  const double end_of_shot = timeline.At(49).current.view.width;
  const double in_fade = timeline.At(60).previous->view.width;
  const double end_of_fade = timeline.At(74).previous->view.width;

  EXPECT_LT(in_fade, end_of_shot);
  EXPECT_LT(end_of_fade, in_fade);
  EXPECT_NEAR(end_of_fade, 0.8, 0.005) << "the whole of the zoom";
}

TEST(Timeline, RoundsTheNumberOfFrames) {
  Storyboard storyboard = TwoShots({});
  storyboard.shots[1].duration = milliseconds(1021);  // 75.5 frames together.
  EXPECT_EQ(Timeline(storyboard).frames(), 76U);
  storyboard.shots[1].duration = milliseconds(1019);
  EXPECT_EQ(Timeline(storyboard).frames(), 75U);
}

TEST(Motion, ViewsStayInsideThePictureAndKeepItsShape) {
  for (const MotionKind kind :
       {MotionKind::kStill, MotionKind::kZoomIn, MotionKind::kZoomOut, MotionKind::kPanLeft,
        MotionKind::kPanRight, MotionKind::kPanUp, MotionKind::kPanDown}) {
    for (double progress = -0.25; progress <= 1.25; progress += 0.05) {
      const ViewRect view = ViewAt({kind, 0.3}, progress);
      EXPECT_GE(view.x, 0);
      EXPECT_GE(view.y, 0);
      EXPECT_LE(view.x + view.width, 1 + 1e-12);
      EXPECT_LE(view.y + view.height, 1 + 1e-12);
      EXPECT_EQ(view.width, view.height);
      EXPECT_GE(view.width, 1 / Magnification({kind, 0.3}) - 1e-12);
    }
  }
}

TEST(Motion, AZoomGrowsByTheSameFactorInTheSameTime) {
  const Motion motion{MotionKind::kZoomIn, 0.5};

  const double first = ViewAt(motion, 0.5).width / ViewAt(motion, 0.0).width;
  const double second = ViewAt(motion, 1.0).width / ViewAt(motion, 0.5).width;

  EXPECT_NEAR(first, second, 1e-12);
  EXPECT_NEAR(ViewAt(motion, 1.0).width, 1 / 1.5, 1e-12);
}

TEST(Motion, PansGoTheirWay) {
  EXPECT_GT(ViewAt({MotionKind::kPanRight, 0.2}, 1).x, ViewAt({MotionKind::kPanRight, 0.2}, 0).x);
  EXPECT_LT(ViewAt({MotionKind::kPanLeft, 0.2}, 1).x, ViewAt({MotionKind::kPanLeft, 0.2}, 0).x);
  EXPECT_GT(ViewAt({MotionKind::kPanDown, 0.2}, 1).y, ViewAt({MotionKind::kPanDown, 0.2}, 0).y);
  EXPECT_LT(ViewAt({MotionKind::kPanUp, 0.2}, 1).y, ViewAt({MotionKind::kPanUp, 0.2}, 0).y);
}

}  // namespace
}  // namespace mezzo::media
