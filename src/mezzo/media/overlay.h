#pragma once

#include <cstdint>

#include "mezzo/media/picture.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// A drawing of one colour: `alpha` says how much of it each pixel gets. Its corner lies at (x, y) of the
/// frame; what lies outside the frame is not drawn.
struct AlphaMask {
  PlaneView alpha;
  int x = 0;
  int y = 0;
  Rgb color;
  std::uint8_t opacity = 255;
};

/// Draws `mask` over `frame`.
void Blend(const AlphaMask& mask, YuvPicture& frame);

/// A picture with transparency that lies over frames, a logo. Immutable.
class OverlayPicture {
 public:
  /// `x` and `y` are rounded down to even; the overlay must lie within the frames it is drawn on.
  OverlayPicture(const RgbaPicture& picture, int x, int y, double opacity);

  void DrawOn(YuvPicture& frame) const;

 private:
  int x_;
  int y_;
  YuvPicture over_black_;
  YuvPicture keep_;  ///< 255 - alpha; in both chroma planes the mean of four.
};

/// `logo` as large as `spec` says, in its corner of a frame, a margin of 4 % of the short side away from the
/// edges. Never wider than 40 % of the frame.
OverlayPicture PlaceLogo(const RgbaPicture& logo, const LogoSpec& spec, FrameSize frame);

}  // namespace mezzo::media
