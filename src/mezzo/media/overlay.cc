#include "mezzo/media/overlay.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "mezzo/base/check.h"
#include "mezzo/media/resample.h"

namespace mezzo::media {
namespace {

/// Rounded a * b / 255 for two bytes.
int Scale255(int a, int b) {
  const int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

std::uint8_t Toward(std::uint8_t from, std::uint8_t to, int alpha) {
  return static_cast<std::uint8_t>(Scale255(from, 255 - alpha) + Scale255(to, alpha));
}

/// The mask's alphas of one row of the frame, from column `left` on; nothing when the row lies outside the
/// mask.
const std::uint8_t* AlphaRow(const AlphaMask& mask, int y, int left) {
  const int row = y - mask.y;
  return row < 0 || row >= mask.alpha.height ? nullptr : mask.alpha.row(row) + (left - mask.x);
}

/// Adds the alphas of one row of the frame to the chroma samples that they belong to. `left` and `right`
/// bound the mask's columns in the frame; the first sum belongs to column left / 2.
void AddAlphas(const std::uint8_t* alphas, int left, int right, std::vector<std::uint16_t>& sums) {
  if (alphas == nullptr) return;
  for (int x = left; x < right; ++x) {
    std::uint16_t& sum = sums[static_cast<std::size_t>(x / 2 - left / 2)];
    sum = static_cast<std::uint16_t>(sum + alphas[x - left]);
  }
}

}  // namespace

void Blend(const AlphaMask& mask, YuvPicture& frame) {
  const FrameSize size = frame.size();
  const int left = std::max(0, mask.x);
  const int top = std::max(0, mask.y);
  const int right = std::min(size.width, mask.x + mask.alpha.width);
  const int bottom = std::min(size.height, mask.y + mask.alpha.height);
  if (left >= right || top >= bottom) return;
  const Yuv color = ToYuv(mask.color);
  const Plane luma = frame.plane(0);
  for (int y = top; y < bottom; ++y) {
    const std::uint8_t* alphas = AlphaRow(mask, y, left);
    std::uint8_t* row = luma.row(y) + left;
    for (int x = 0; x < right - left; ++x)
      row[x] = Toward(row[x], color.y, Scale255(alphas[x], mask.opacity));
  }
  const Plane cb = frame.plane(1);
  const Plane cr = frame.plane(2);
  std::vector<std::uint16_t> sums(static_cast<std::size_t>((right - 1) / 2 - left / 2 + 1));
  for (int y = top / 2; y <= (bottom - 1) / 2; ++y) {
    std::fill(sums.begin(), sums.end(), std::uint16_t{0});
    AddAlphas(AlphaRow(mask, 2 * y, left), left, right, sums);
    AddAlphas(AlphaRow(mask, 2 * y + 1, left), left, right, sums);
    std::uint8_t* u = cb.row(y) + left / 2;
    std::uint8_t* v = cr.row(y) + left / 2;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      if (sums[i] == 0) continue;
      const int alpha = Scale255((sums[i] + 2) / 4, mask.opacity);
      u[i] = Toward(u[i], color.u, alpha);
      v[i] = Toward(v[i], color.v, alpha);
    }
  }
}

OverlayPicture::OverlayPicture(const RgbaPicture& picture, int x, int y, double opacity)
    : x_(x & ~1), y_(y & ~1) {
  const FrameSize size = picture.size();
  // Odd sides grow by one transparent line.
  RgbaPicture faded({size.width + size.width % 2, size.height + size.height % 2});
  for (int row = 0; row < size.height; ++row) {
    std::copy_n(picture.row(row), picture.stride(), faded.row(row));
    for (int column = 0; column < size.width; ++column) {
      std::uint8_t& alpha = faded.row(row)[column * RgbaPicture::kChannels + 3];
      alpha = static_cast<std::uint8_t>(std::lround(alpha * opacity));
    }
  }
  over_black_ = ToYuv(faded, {0, 0, 0});
  keep_ = YuvPicture(faded.size());
  const auto keep = [&faded](int column, int row) {
    return 255 - faded.row(row)[column * RgbaPicture::kChannels + 3];
  };
  for (int row = 0; row < faded.size().height; ++row) {
    for (int column = 0; column < faded.size().width; ++column) {
      keep_.plane(0).row(row)[column] = static_cast<std::uint8_t>(keep(column, row));
    }
  }
  for (int row = 0; row < faded.size().height; row += 2) {
    for (int column = 0; column < faded.size().width; column += 2) {
      const int sum =
          keep(column, row) + keep(column + 1, row) + keep(column, row + 1) + keep(column + 1, row + 1);
      for (int p = 1; p < YuvPicture::kPlanes; ++p) {
        keep_.plane(p).row(row / 2)[column / 2] = static_cast<std::uint8_t>((sum + 2) / 4);
      }
    }
  }
}

void OverlayPicture::DrawOn(YuvPicture& frame) const {
  const FrameSize size = over_black_.size();
  MEZZO_CHECK(x_ >= 0 && y_ >= 0 && x_ + size.width <= frame.size().width &&
              y_ + size.height <= frame.size().height);
  for (int p = 0; p < YuvPicture::kPlanes; ++p) {
    // Drawn over black it already holds alpha × colour; the frame's part is what of it differs from black.
    const int black = p == 0 ? 16 : 128;
    const int unit = p == 0 ? 1 : 2;
    const Plane to = frame.plane(p);
    const PlaneView over = over_black_.plane(p);
    const PlaneView keep = keep_.plane(p);
    for (int y = 0; y < over.height; ++y) {
      std::uint8_t* row = to.row(y + y_ / unit) + x_ / unit;
      for (int x = 0; x < over.width; ++x) {
        const int mixed =
            over.row(y)[x] + ((row[x] - black) * keep.row(y)[x] + (row[x] >= black ? 127 : -127)) / 255;
        row[x] = static_cast<std::uint8_t>(std::clamp(mixed, 0, 255));
      }
    }
  }
}

OverlayPicture PlaceLogo(const RgbaPicture& logo, const LogoSpec& spec, FrameSize frame) {
  constexpr double kWidest = 0.4;
  constexpr double kMargin = 0.04;
  const double wanted = frame.height * spec.height / logo.size().height;
  const double widest = frame.width * kWidest / logo.size().width;
  const double scale = std::min(wanted, widest);
  const FrameSize size{std::max(2, static_cast<int>(std::lround(logo.size().width * scale))),
                       std::max(2, static_cast<int>(std::lround(logo.size().height * scale)))};
  const int margin = static_cast<int>(std::min(frame.width, frame.height) * kMargin);
  const bool at_left = spec.corner == Corner::kTopLeft || spec.corner == Corner::kBottomLeft;
  const bool at_top = spec.corner == Corner::kTopLeft || spec.corner == Corner::kTopRight;
  // One pixel in reserve for rounding odd sizes up.
  const int x = at_left ? margin : std::max(0, frame.width - margin - size.width - 1);
  const int y = at_top ? margin : std::max(0, frame.height - margin - size.height - 1);
  return OverlayPicture(Resize(logo, size), x, y, spec.opacity);
}

}  // namespace mezzo::media
