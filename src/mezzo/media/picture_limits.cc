#include "mezzo/media/picture_limits.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace mezzo::media {

Result<PictureHeader> CheckPictureLimits(BytesView file, const PictureLimits& limits) {
  const auto refuse = [](std::string message) {
    return InvalidArgument("picture_too_large", std::move(message));
  };
  if (file.size() > limits.max_bytes) {
    return refuse(fmt::format("the picture has {} bytes; the limit is {}", file.size(), limits.max_bytes));
  }
  MEZZO_TRY(const PictureHeader header, ReadPictureHeader(file));
  const auto [width, height] = header.size;
  if (std::max(width, height) > limits.max_side) {
    return refuse(
        fmt::format("the picture is {} x {}; a side may have {} pixels", width, height, limits.max_side));
  }
  const std::uint64_t pixels = static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height);
  if (pixels > limits.max_pixels) {
    return refuse(fmt::format("the picture has {} x {} = {} pixels; the limit is {}", width, height, pixels,
                              limits.max_pixels));
  }
  return header;
}

}  // namespace mezzo::media
