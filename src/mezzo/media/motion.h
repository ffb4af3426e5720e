#pragma once

#include <cstdint>
#include <string_view>

#include "mezzo/base/clock.h"

namespace mezzo::media {

/// How the view moves over a picture while a shot lasts. The names in comments are those of a storyboard.
enum class MotionKind : std::uint8_t {
  kStill,     ///< "still"
  kZoomIn,    ///< "zoom_in"
  kZoomOut,   ///< "zoom_out"
  kPanLeft,   ///< "pan_left": the view goes to the left
  kPanRight,  ///< "pan_right"
  kPanUp,     ///< "pan_up"
  kPanDown,   ///< "pan_down"
};

struct Motion {
  MotionKind kind = MotionKind::kStill;
  /// How far, as a part of the frame: the view is 1 / (1 + amount) of the picture where it is closest.
  double amount = 0.12;
  friend bool operator==(const Motion&, const Motion&) = default;
};

/// How a shot takes over from the one before.
enum class TransitionKind : std::uint8_t {
  kCut,    ///< "cut"
  kFade,   ///< "fade"
  kSlide,  ///< "slide": the new picture pushes the old one out
  kWipe,   ///< "wipe": a soft edge crosses the frame
};

/// The way a slide or wipe goes; kLeft comes in from the right.
enum class Direction : std::uint8_t { kLeft, kRight, kUp, kDown };

struct Transition {
  TransitionKind kind = TransitionKind::kCut;
  Duration duration = Duration::zero();  ///< Zero for a cut.
  Direction direction = Direction::kLeft;
  friend bool operator==(const Transition&, const Transition&) = default;
};

/// A part of a picture, in fractions of its width and height.
struct ViewRect {
  double x = 0;
  double y = 0;
  double width = 1;
  double height = 1;
};

/// What is seen of the picture at `progress` of the shot (0 at its start, 1 at its end; clipped). Lies within
/// the picture, has its aspect, and changes at a constant apparent speed.
ViewRect ViewAt(const Motion& motion, double progress);

/// How much larger than the frame a picture must be so that the closest view still has one pixel for each of
/// the frame's: 1 + amount, or 1 for kStill.
double Magnification(const Motion& motion);

}  // namespace mezzo::media
