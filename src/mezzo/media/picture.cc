#include "mezzo/media/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "mezzo/base/check.h"

namespace mezzo::media {
namespace {

constexpr std::size_t kRowAlignment = 64;

std::ptrdiff_t AlignedStride(int width) {
  return static_cast<std::ptrdiff_t>((static_cast<std::size_t>(width) + kRowAlignment - 1) &
                                     ~(kRowAlignment - 1));
}

// BT.709: luma weights, and what scales colour differences to [-0.5, 0.5].
constexpr double kR = 0.2126;
constexpr double kG = 0.7152;
constexpr double kB = 0.0722;
constexpr double kCb = 2 * (1 - kB);
constexpr double kCr = 2 * (1 - kR);
// Codes per unit of full-range 8-bit input.
constexpr double kLumaScale = 219.0 / 255.0;
constexpr double kChromaScale = 224.0 / 255.0;

constexpr int kBits = 16;
constexpr int Fixed(double value) {
  return static_cast<int>(value * (1 << kBits) + (value < 0 ? -0.5 : 0.5));
}

constexpr int kYFromR = Fixed(kR * kLumaScale);
constexpr int kYFromG = Fixed(kG * kLumaScale);
constexpr int kYFromB = Fixed(kB * kLumaScale);
constexpr int kUFromR = Fixed(-kR / kCb * kChromaScale);
constexpr int kUFromG = Fixed(-kG / kCb * kChromaScale);
constexpr int kUFromB = Fixed((1 - kB) / kCb * kChromaScale);
constexpr int kVFromR = Fixed((1 - kR) / kCr * kChromaScale);
constexpr int kVFromG = Fixed(-kG / kCr * kChromaScale);
constexpr int kVFromB = Fixed(-kB / kCr * kChromaScale);

std::uint8_t Luma(int r, int g, int b) {
  return static_cast<std::uint8_t>(((kYFromR * r + kYFromG * g + kYFromB * b + (1 << (kBits - 1))) >> kBits) +
                                   16);
}

/// `shift` says by what power of two the inputs are too large (sums of four pixels: 2).
std::uint8_t Chroma(int from_r, int from_g, int from_b, int r, int g, int b, int shift) {
  const int round = 1 << (kBits + shift - 1);
  return static_cast<std::uint8_t>(((from_r * r + from_g * g + from_b * b + round) >> (kBits + shift)) + 128);
}

/// Rounded x / 255 for x up to 255 * 255.
int Div255(int x) { return (x + 128 + ((x + 128) >> 8)) >> 8; }

/// One row over an opaque background, as interleaved RGB.
void Flatten(const std::uint8_t* rgba, int width, Rgb background, std::uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgba += 4, rgb += 3) {
    const int a = rgba[3];
    rgb[0] = static_cast<std::uint8_t>(Div255(rgba[0] * a + background.r * (255 - a)));
    rgb[1] = static_cast<std::uint8_t>(Div255(rgba[1] * a + background.g * (255 - a)));
    rgb[2] = static_cast<std::uint8_t>(Div255(rgba[2] * a + background.b * (255 - a)));
  }
}

std::uint8_t Clip(double value) {
  return static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L));
}

}  // namespace

RgbaPicture::RgbaPicture(FrameSize size)
    : size_(size),
      pixels_(static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height) * kChannels) {
  MEZZO_CHECK(size.width > 0 && size.height > 0);
}

YuvPicture::YuvPicture(FrameSize size) : size_(size) {
  MEZZO_CHECK(size.width > 0 && size.height > 0 && size.width % 2 == 0 && size.height % 2 == 0);
  samples_.resize(offset(kPlanes));
  Fill(16, 128, 128);
}

std::ptrdiff_t YuvPicture::plane_stride(int index) const { return AlignedStride(plane_width(index)); }

std::size_t YuvPicture::offset(int index) const {
  std::size_t at = 0;
  for (int i = 0; i < index; ++i) {
    at += static_cast<std::size_t>(plane_stride(i)) * static_cast<std::size_t>(plane_height(i));
  }
  return at;
}

Plane YuvPicture::plane(int index) {
  std::uint8_t* data = samples_.data() + offset(index);
  return {data, plane_width(index), plane_height(index), plane_stride(index)};
}

PlaneView YuvPicture::plane(int index) const {
  const std::uint8_t* data = samples_.data() + offset(index);
  return {data, plane_width(index), plane_height(index), plane_stride(index)};
}

void YuvPicture::Fill(std::uint8_t y, std::uint8_t u, std::uint8_t v) {
  const std::uint8_t values[kPlanes] = {y, u, v};
  for (int p = 0; p < kPlanes; ++p) {
    const Plane target = plane(p);
    std::memset(target.data, values[p], static_cast<std::size_t>(target.stride * target.height));
  }
}

Yuv ToYuv(Rgb color) {
  return {Luma(color.r, color.g, color.b), Chroma(kUFromR, kUFromG, kUFromB, color.r, color.g, color.b, 0),
          Chroma(kVFromR, kVFromG, kVFromB, color.r, color.g, color.b, 0)};
}

Rgb ToRgb(Yuv color) {
  const double y = (color.y - 16) / kLumaScale;
  const double u = (color.u - 128) / kChromaScale;
  const double v = (color.v - 128) / kChromaScale;
  return {Clip(y + kCr * v), Clip(y - (kB * kCb * u + kR * kCr * v) / kG), Clip(y + kCb * u)};
}

YuvPicture ToYuv(const RgbaPicture& picture, Rgb background) {
  const FrameSize given = picture.size();
  const FrameSize size{given.width + given.width % 2, given.height + given.height % 2};
  YuvPicture out(size);
  const Plane luma = out.plane(0);
  const Plane cb = out.plane(1);
  const Plane cr = out.plane(2);
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(size.width) * 3 * 2);
  std::uint8_t* const rows[2] = {rgb.data(), rgb.data() + static_cast<std::size_t>(size.width) * 3};
  const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(size.width - 1) * 3;
  for (int y = 0; y < size.height; y += 2) {
    for (int line = 0; line < 2; ++line) {
      Flatten(picture.row(std::min(y + line, given.height - 1)), given.width, background, rows[line]);
      if (given.width != size.width) std::memcpy(rows[line] + last, rows[line] + last - 3, 3);
      std::uint8_t* to = luma.row(y + line);
      for (int x = 0; x < size.width; ++x) {
        const std::uint8_t* from = rows[line] + static_cast<std::ptrdiff_t>(x) * 3;
        to[x] = Luma(from[0], from[1], from[2]);
      }
    }
    for (int x = 0; x < size.width; x += 2) {
      const std::uint8_t* a = rows[0] + static_cast<std::ptrdiff_t>(x) * 3;
      const std::uint8_t* b = rows[1] + static_cast<std::ptrdiff_t>(x) * 3;
      const int r = a[0] + a[3] + b[0] + b[3];
      const int g = a[1] + a[4] + b[1] + b[4];
      const int blue = a[2] + a[5] + b[2] + b[5];
      cb.row(y / 2)[x / 2] = Chroma(kUFromR, kUFromG, kUFromB, r, g, blue, 2);
      cr.row(y / 2)[x / 2] = Chroma(kVFromR, kVFromG, kVFromB, r, g, blue, 2);
    }
  }
  return out;
}

RgbaPicture ToRgba(const YuvPicture& picture) {
  RgbaPicture out(picture.size());
  const PlaneView luma = picture.plane(0);
  const PlaneView cb = picture.plane(1);
  const PlaneView cr = picture.plane(2);
  for (int y = 0; y < out.size().height; ++y) {
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < out.size().width; ++x, to += RgbaPicture::kChannels) {
      const Rgb pixel = ToRgb({luma.row(y)[x], cb.row(y / 2)[x / 2], cr.row(y / 2)[x / 2]});
      to[0] = pixel.r;
      to[1] = pixel.g;
      to[2] = pixel.b;
      to[3] = 255;
    }
  }
  return out;
}

}  // namespace mezzo::media
