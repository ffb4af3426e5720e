#pragma once

#include <cstddef>
#include <vector>

#include "mezzo/media/picture.h"
#include "mezzo/media/timeline.h"

namespace mezzo::media {

/// Small pictures of a video at even distances of time, in rows on one picture: what a player shows over its
/// bar. Filled while the frames go by.
class SpriteSheet {
 public:
  /// About one picture a second, 5 to 60. `frame` is the size of the frames.
  SpriteSheet(const Timeline& timeline, FrameSize frame);

  /// True when frame `index` belongs on the sheet.
  [[nodiscard]] bool Wants(std::size_t index) const;
  /// Puts `frame` into its place. Only for those it wants.
  void Add(std::size_t index, const YuvPicture& frame);

  [[nodiscard]] const RgbaPicture& picture() const { return picture_; }
  [[nodiscard]] FrameSize tile() const { return tile_; }
  [[nodiscard]] int columns() const { return columns_; }
  [[nodiscard]] std::size_t count() const { return wanted_.size(); }

 private:
  FrameSize tile_;
  int columns_;
  std::vector<std::size_t> wanted_;  // Frame numbers, rising.
  RgbaPicture picture_;
};

/// `frame` with its long side at most `long_side`; never larger.
RgbaPicture MakeThumbnail(const YuvPicture& frame, int long_side);

}  // namespace mezzo::media
