#pragma once

#include "mezzo/media/motion.h"
#include "mezzo/media/picture.h"
#include "mezzo/media/storyboard.h"

namespace mezzo::media {

/// The picture as Compositor wants it for a shot: of the frame's shape, as large as the closest view of
/// `motion` needs (`frame` × Magnification()), transparency over `background`.
YuvPicture PreparePicture(const RgbaPicture& picture, FrameSize frame, const Motion& motion, PictureFit fit,
                          Rgb background);

}  // namespace mezzo::media
