#include "mezzo/media/prepare_picture.h"

#include <algorithm>
#include <cmath>

#include "mezzo/media/resample.h"

namespace mezzo::media {
namespace {

int Even(double length) { return static_cast<int>(std::lround(length / 2)) * 2; }

/// Resamples the part of `source` at (x, y), `width` x `height` luma pixels large, into `to` of each plane.
void ResamplePart(const YuvPicture& source, double x, double y, double width, double height, Plane (&to)[3],
                  Filter filter) {
  AxisWeights columns;
  AxisWeights rows;
  ResampleScratch scratch;
  for (int p = 0; p < YuvPicture::kPlanes; ++p) {
    const PlaneView from = source.plane(p);
    const double unit = p == 0 ? 1 : 0.5;
    columns.Set(x * unit, width * unit, from.width, to[p].width, filter, true);
    rows.Set(y * unit, height * unit, from.height, to[p].height, filter, true);
    Resample(from, columns, rows, to[p], 0, to[p].height, scratch);
  }
}

/// The middle of `source` (of which `used` is picture) that has the canvas's shape, filling it.
YuvPicture Cover(const YuvPicture& source, FrameSize used, FrameSize size) {
  YuvPicture out(size);
  const double scale =
      std::min(static_cast<double>(used.width) / size.width, static_cast<double>(used.height) / size.height);
  const double width = size.width * scale;
  const double height = size.height * scale;
  Plane to[] = {out.plane(0), out.plane(1), out.plane(2)};
  ResamplePart(source, (used.width - width) / 2, (used.height - height) / 2, width, height, to,
               Filter::kLanczos3);
  return out;
}

/// So small that growing it again leaves nothing but soft patches of colour, a little darker.
YuvPicture BlurredBackdrop(const YuvPicture& source, FrameSize used, FrameSize size) {
  constexpr int kShortSide = 16;
  constexpr int kBrightness = 180;  // Of 256.
  const double scale = static_cast<double>(kShortSide) / std::min(size.width, size.height);
  const FrameSize tiny{std::max(2, Even(size.width * scale)), std::max(2, Even(size.height * scale))};
  const YuvPicture patches = Cover(source, used, tiny);
  YuvPicture out(size);
  Plane to[] = {out.plane(0), out.plane(1), out.plane(2)};
  ResamplePart(patches, 0, 0, tiny.width, tiny.height, to, Filter::kMitchell);
  for (int y = 0; y < size.height; ++y) {
    std::uint8_t* row = to[0].row(y);
    for (int x = 0; x < size.width; ++x) {
      row[x] = static_cast<std::uint8_t>(16 + (std::max(0, row[x] - 16) * kBrightness >> 8));
    }
  }
  return out;
}

YuvPicture Contain(const YuvPicture& source, FrameSize used, FrameSize size) {
  YuvPicture out = BlurredBackdrop(source, used, size);
  const double scale =
      std::min(static_cast<double>(size.width) / used.width, static_cast<double>(size.height) / used.height);
  const FrameSize inside{std::clamp(Even(used.width * scale), 2, size.width),
                         std::clamp(Even(used.height * scale), 2, size.height)};
  const int left = (size.width - inside.width) / 4 * 2;
  const int top = (size.height - inside.height) / 4 * 2;
  Plane to[YuvPicture::kPlanes];
  for (int p = 0; p < YuvPicture::kPlanes; ++p) {
    const Plane whole = out.plane(p);
    const int unit = p == 0 ? 1 : 2;
    to[p] = {whole.row(top / unit) + left / unit, inside.width / unit, inside.height / unit, whole.stride};
  }
  ResamplePart(source, 0, 0, used.width, used.height, to, Filter::kLanczos3);
  return out;
}

}  // namespace

YuvPicture PreparePicture(const RgbaPicture& picture, FrameSize frame, const Motion& motion, PictureFit fit,
                          Rgb background) {
  const YuvPicture source = ToYuv(picture, background);
  const double scale = Magnification(motion);
  const FrameSize size{Even(frame.width * scale), Even(frame.height * scale)};
  return fit == PictureFit::kCover ? Cover(source, picture.size(), size)
                                   : Contain(source, picture.size(), size);
}

}  // namespace mezzo::media
