#pragma once

#include <cmath>
#include <cstdint>

#include "mezzo/media/picture.h"

namespace mezzo::media::testing {

/// A picture with smooth areas, edges in every direction and fine detail, different for each `seed`: a
/// gradient, a disc, a square, rings and stripes.
inline RgbaPicture DrawTestCard(FrameSize size, int seed) {
  RgbaPicture out(size);
  const double hue = seed * 1.7;
  const double short_side = std::min(size.width, size.height);
  for (int y = 0; y < size.height; ++y) {
    std::uint8_t* pixel = out.row(y);
    for (int x = 0; x < size.width; ++x, pixel += RgbaPicture::kChannels) {
      const double u = static_cast<double>(x) / size.width;
      const double v = static_cast<double>(y) / size.height;
      double r = 0.5 + 0.4 * std::sin(hue + 2.2 * u);
      double g = 0.5 + 0.4 * std::sin(hue + 2.0 + 2.0 * v);
      double b = 0.5 + 0.4 * std::sin(hue + 4.0 + 1.5 * (u + v));
      const double dx = (x - size.width * 0.35) / short_side;
      const double dy = (y - size.height * 0.55) / short_side;
      const double radius = std::sqrt(dx * dx + dy * dy);
      if (radius < 0.22) {  // A disc with a light from above.
        r = 0.95 - radius;
        g = 0.35 + dy;
        b = 0.25 + 0.5 * dy * dy;
      }
      const double sx = (x - size.width * 0.72) / short_side;
      const double sy = (y - size.height * 0.40) / short_side;
      if (std::abs(sx) < 0.16 && std::abs(sy) < 0.16) {  // A square of rings.
        const double ring = 0.5 + 0.5 * std::cos(120 * std::sqrt(sx * sx + sy * sy));
        r = g = b = ring;
      }
      if (v > 0.86 && v < 0.92 && u > 0.1 && u < 0.9) {  // Stripes, 6 pixels each.
        r = g = b = (x / 6) % 2 == 0 ? 0.9 : 0.1;
      }
      pixel[0] = static_cast<std::uint8_t>(std::lround(255 * std::min(1.0, std::max(0.0, r))));
      pixel[1] = static_cast<std::uint8_t>(std::lround(255 * std::min(1.0, std::max(0.0, g))));
      pixel[2] = static_cast<std::uint8_t>(std::lround(255 * std::min(1.0, std::max(0.0, b))));
      pixel[3] = 255;
    }
  }
  return out;
}

/// Structural similarity of the luma of two pictures of one size (Wang et al. 2004), over windows of 8 × 8 at
/// every fourth pixel. 1 for equal pictures.
inline double Ssim(const YuvPicture& a, const YuvPicture& b) {
  constexpr int kWindow = 8;
  constexpr double kC1 = 6.5025;
  constexpr double kC2 = 58.5225;
  const PlaneView pa = a.plane(0);
  const PlaneView pb = b.plane(0);
  double total = 0;
  int windows = 0;
  for (int y = 0; y + kWindow <= pa.height; y += 4) {
    for (int x = 0; x + kWindow <= pa.width; x += 4, ++windows) {
      double sa = 0;
      double sb = 0;
      double saa = 0;
      double sbb = 0;
      double sab = 0;
      for (int j = 0; j < kWindow; ++j) {
        for (int i = 0; i < kWindow; ++i) {
          const double va = pa.row(y + j)[x + i];
          const double vb = pb.row(y + j)[x + i];
          sa += va;
          sb += vb;
          saa += va * va;
          sbb += vb * vb;
          sab += va * vb;
        }
      }
      constexpr double kN = kWindow * kWindow;
      const double ma = sa / kN;
      const double mb = sb / kN;
      const double variance_a = saa / kN - ma * ma;
      const double variance_b = sbb / kN - mb * mb;
      const double covariance = sab / kN - ma * mb;
      total += (2 * ma * mb + kC1) * (2 * covariance + kC2) /
               ((ma * ma + mb * mb + kC1) * (variance_a + variance_b + kC2));
    }
  }
  return total / windows;
}

}  // namespace mezzo::media::testing
