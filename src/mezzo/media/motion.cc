#include "mezzo/media/motion.h"

#include <algorithm>
#include <cmath>

namespace mezzo::media {

double Magnification(const Motion& motion) {
  return motion.kind == MotionKind::kStill ? 1.0 : 1.0 + motion.amount;
}

ViewRect ViewAt(const Motion& motion, double progress) {
  progress = std::clamp(progress, 0.0, 1.0);
  const double closest = 1.0 / Magnification(motion);
  const double room = 1.0 - closest;
  switch (motion.kind) {
    case MotionKind::kStill:
      return {};
    case MotionKind::kZoomIn:
    case MotionKind::kZoomOut: {
      // A zoom looks even when the scale grows by the same factor in the same time.
      const double side = std::pow(closest, motion.kind == MotionKind::kZoomIn ? progress : 1.0 - progress);
      return {.x = (1 - side) / 2, .y = (1 - side) / 2, .width = side, .height = side};
    }
    case MotionKind::kPanLeft:
      return {.x = room * (1 - progress), .y = room / 2, .width = closest, .height = closest};
    case MotionKind::kPanRight:
      return {.x = room * progress, .y = room / 2, .width = closest, .height = closest};
    case MotionKind::kPanUp:
      return {.x = room / 2, .y = room * (1 - progress), .width = closest, .height = closest};
    case MotionKind::kPanDown:
      return {.x = room / 2, .y = room * progress, .width = closest, .height = closest};
  }
  return {};
}

}  // namespace mezzo::media
