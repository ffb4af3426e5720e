#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mezzo::media {

/// Width and height in pixels.
struct FrameSize {
  int width = 0;
  int height = 0;
  friend bool operator==(const FrameSize&, const FrameSize&) = default;
};

/// An opaque sRGB colour.
struct Rgb {
  std::uint8_t r = 0;
  std::uint8_t g = 0;
  std::uint8_t b = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

/// Rows of 8-bit samples that somebody else owns; rows lie `stride` bytes apart.
struct PlaneView {
  const std::uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t stride = 0;

  [[nodiscard]] const std::uint8_t* row(int y) const { return data + y * stride; }
};

/// The same, writable.
struct Plane {
  std::uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t stride = 0;

  [[nodiscard]] std::uint8_t* row(int y) const { return data + y * stride; }
  operator PlaneView() const { return {data, width, height, stride}; }  // NOLINT(*-explicit-*)
};

/// Owns interleaved RGBA pixels: 8 bits a channel, sRGB, straight (not premultiplied) alpha, rows without
/// gaps. Starts transparent black. Not thread-safe to change.
class RgbaPicture {
 public:
  static constexpr int kChannels = 4;

  RgbaPicture() = default;
  /// Both sides must be positive.
  explicit RgbaPicture(FrameSize size);

  [[nodiscard]] FrameSize size() const { return size_; }
  [[nodiscard]] std::size_t stride() const { return static_cast<std::size_t>(size_.width) * kChannels; }
  [[nodiscard]] std::uint8_t* row(int y) { return pixels_.data() + static_cast<std::size_t>(y) * stride(); }
  [[nodiscard]] const std::uint8_t* row(int y) const {
    return pixels_.data() + static_cast<std::size_t>(y) * stride();
  }

 private:
  FrameSize size_;
  std::vector<std::uint8_t> pixels_;
};

/// Owns one picture in planar Y'CbCr 4:2:0 (I420), 8 bits, BT.709 matrix, limited range; chroma is sited in
/// the centre of its four luma samples (MPEG-1 siting). Both sides are even. Rows lie a multiple of 64 bytes
/// apart. Starts black. Not thread-safe to change; distinct rows may be written by distinct threads.
class YuvPicture {
 public:
  static constexpr int kPlanes = 3;

  YuvPicture() = default;
  /// Both sides must be positive and even.
  explicit YuvPicture(FrameSize size);

  [[nodiscard]] FrameSize size() const { return size_; }
  [[nodiscard]] bool empty() const { return samples_.empty(); }
  /// Plane 0 is luma, 1 is Cb, 2 is Cr.
  [[nodiscard]] Plane plane(int index);
  [[nodiscard]] PlaneView plane(int index) const;
  void Fill(std::uint8_t y, std::uint8_t u, std::uint8_t v);

 private:
  [[nodiscard]] std::size_t offset(int index) const;
  [[nodiscard]] int plane_width(int index) const { return index == 0 ? size_.width : size_.width / 2; }
  [[nodiscard]] int plane_height(int index) const { return index == 0 ? size_.height : size_.height / 2; }
  [[nodiscard]] std::ptrdiff_t plane_stride(int index) const;

  FrameSize size_;
  std::vector<std::uint8_t> samples_;
};

/// A colour in the terms of YuvPicture.
struct Yuv {
  std::uint8_t y = 16;
  std::uint8_t u = 128;
  std::uint8_t v = 128;
  friend bool operator==(const Yuv&, const Yuv&) = default;
};

/// ITU-R BT.709-6 section 3, limited range: black is (16, 128, 128), white (235, 128, 128).
Yuv ToYuv(Rgb color);
/// The reverse, clipped to what RGB can show.
Rgb ToRgb(Yuv color);

/// `picture` over `background`. Odd sides grow by one: the last column or row is there twice.
YuvPicture ToYuv(const RgbaPicture& picture, Rgb background);
/// Opaque; each chroma sample colours its four pixels.
RgbaPicture ToRgba(const YuvPicture& picture);

}  // namespace mezzo::media
