#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/mixer.h"
#include "mezzo/media/picture.h"
#include "mezzo/media/storyboard.h"
#include "mezzo/media/subtitles.h"
#include "mezzo/media/text_renderer.h"
#include "mezzo/media/video_encoder.h"
#include "mezzo/runtime/context.h"

namespace mezzo::media {

/// What a video is made from, besides its storyboard.
struct VideoInputs {
  /// The picture of a shot, asked for once, when its shot begins: at most two are held at a time.
  std::function<Result<RgbaPicture>(std::size_t shot)> picture;
  /// Needed when the storyboard has a logo.
  std::function<Result<RgbaPicture>()> logo;
  /// Prepared; null for a silent video.
  Mixer* sound = nullptr;
};

/// What came out besides the file.
struct RenderedVideo {
  EncodedVideo file;
  FrameSize size;
  RgbaPicture thumbnail;  ///< Long side 640, of the middle of the first shot.
  RgbaPicture sprite_sheet;
  FrameSize sprite_tile;
  int sprite_columns = 0;
  std::size_t sprite_count = 0;
  std::vector<SubtitleTrack> subtitles;
};

/// Turns storyboards into video files: draws the frames and hands them, the sound and the text to an encoder.
/// One thread draws and `Options::threads` - 1 help it; the encoder has its own. Memory does not grow with
/// the length. Thread-safe; Render() blocks for the length of the work.
class VideoRenderer {
 public:
  struct Options {
    int threads = 1;
  };
  VideoRenderer(Options options, VideoEncoderFactory& encoders, TextRendererFactory& texts,
                const Clock& clock)
      : options_(options), encoders_(encoders), texts_(texts), clock_(clock) {}

  /// `storyboard` has passed ValidateStoryboard(), but for the total length. `progress` (may be empty) hears
  /// the part done, 0 to 1, about once a second of video. Fails with kCancelled "cancelled" and
  /// kDeadlineExceeded "deadline" soon after `ctx` says so, and as the inputs, the encoder, the text renderer
  /// and `sink` do.
  Result<RenderedVideo> Render(const runtime::Context& ctx, const Storyboard& storyboard,
                               const VideoInputs& inputs, const ByteSink& sink,
                               const std::function<void(double)>& progress);

 private:
  const Options options_;
  VideoEncoderFactory& encoders_;
  TextRendererFactory& texts_;
  const Clock& clock_;
};

}  // namespace mezzo::media
