#pragma once

#include <memory>

#include "mezzo/media/picture.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {

/// Draws frames: the view of one picture, or of two and the transition between them. The hot path of a video:
/// bounded memory (two frames), integer arithmetic, rows divided between threads; the result does not depend
/// on their number. One frame at a time.
class Compositor {
 public:
  struct Options {
    FrameSize frame;  ///< Both sides even.
    int threads = 1;  ///< With the caller's.
  };
  explicit Compositor(Options options);
  ~Compositor();

  /// Draws every pixel of `out`, which has the size of the frame. The pictures come from PreparePicture() for
  /// this frame size; `previous` is needed when the plan has a previous layer.
  void Draw(const FramePlan& plan, const YuvPicture& current, const YuvPicture* previous, YuvPicture& out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mezzo::media
