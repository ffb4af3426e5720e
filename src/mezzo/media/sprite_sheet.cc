#include "mezzo/media/sprite_sheet.h"

#include <algorithm>
#include <cmath>

#include "mezzo/base/check.h"
#include "mezzo/media/resample.h"

namespace mezzo::media {
namespace {

constexpr int kTileLongSide = 160;
constexpr int kMinTiles = 5;
constexpr int kMaxTiles = 60;

FrameSize FitInto(FrameSize size, int long_side) {
  const double scale = std::min(1.0, static_cast<double>(long_side) / std::max(size.width, size.height));
  const auto even = [scale](int side) {
    return std::max(2, static_cast<int>(std::lround(side * scale / 2)) * 2);
  };
  return {even(size.width), even(size.height)};
}

}  // namespace

SpriteSheet::SpriteSheet(const Timeline& timeline, FrameSize frame) : tile_(FitInto(frame, kTileLongSide)) {
  const int by_time =
      std::clamp(static_cast<int>(std::ceil(Seconds(timeline.duration()))), kMinTiles, kMaxTiles);
  const std::size_t count = std::min(static_cast<std::size_t>(by_time), timeline.frames());
  // The middle of each of `count` equal parts.
  for (std::size_t i = 0; i < count; ++i) wanted_.push_back((2 * i + 1) * timeline.frames() / (2 * count));
  columns_ = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int rows = (static_cast<int>(count) + columns_ - 1) / columns_;
  picture_ = RgbaPicture({tile_.width * columns_, tile_.height * rows});
}

bool SpriteSheet::Wants(std::size_t index) const {
  return std::binary_search(wanted_.begin(), wanted_.end(), index);
}

void SpriteSheet::Add(std::size_t index, const YuvPicture& frame) {
  const auto at = std::lower_bound(wanted_.begin(), wanted_.end(), index);
  MEZZO_CHECK(at != wanted_.end() && *at == index);
  const auto place = static_cast<int>(at - wanted_.begin());
  const RgbaPicture small = ToRgba(Resize(frame, tile_));
  const int left = place % columns_ * tile_.width * RgbaPicture::kChannels;
  const int top = place / columns_ * tile_.height;
  for (int y = 0; y < tile_.height; ++y)
    std::copy_n(small.row(y), small.stride(), picture_.row(top + y) + left);
}

RgbaPicture MakeThumbnail(const YuvPicture& frame, int long_side) {
  return ToRgba(Resize(frame, FitInto(frame.size(), long_side)));
}

}  // namespace mezzo::media
