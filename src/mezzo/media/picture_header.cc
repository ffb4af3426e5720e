#include "mezzo/media/picture_header.h"

#include <algorithm>
#include <optional>
#include <string>

namespace mezzo::media {
namespace {

Error Bad(const std::string& message) { return InvalidArgument("picture_invalid", message); }

/// Reads numbers from bytes; beyond the end there is nothing.
class Reader {
 public:
  explicit Reader(BytesView bytes) : text_(AsText(bytes)) {}

  [[nodiscard]] bool StartsWith(std::size_t at, std::string_view magic) const {
    return at <= text_.size() && text_.substr(at, magic.size()) == magic;
  }
  [[nodiscard]] std::optional<std::uint32_t> Big(std::size_t at, std::size_t count) const {
    if (at > text_.size() || text_.size() - at < count) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = (value << 8U) | Byte(at + i);
    return value;
  }
  [[nodiscard]] std::optional<std::uint32_t> Little(std::size_t at, std::size_t count) const {
    if (at > text_.size() || text_.size() - at < count) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = count; i-- > 0;) value = (value << 8U) | Byte(at + i);
    return value;
  }
  [[nodiscard]] std::size_t size() const { return text_.size(); }

 private:
  [[nodiscard]] std::uint32_t Byte(std::size_t at) const { return static_cast<unsigned char>(text_[at]); }

  std::string_view text_;
};

Result<PictureHeader> Checked(PictureFormat format, std::optional<std::uint32_t> width,
                              std::optional<std::uint32_t> height) {
  if (!width.has_value() || !height.has_value()) return Bad("the picture ends within its header");
  if (*width == 0 || *height == 0 || *width > INT32_MAX || *height > INT32_MAX) {
    return Bad("the picture's header says " + std::to_string(*width) + " x " + std::to_string(*height) +
               " pixels");
  }
  return PictureHeader{format, {static_cast<int>(*width), static_cast<int>(*height)}};
}

Result<PictureHeader> ReadPng(const Reader& file) {
  if (!file.StartsWith(12, "IHDR")) return Bad("the PNG picture does not begin with its header");
  return Checked(PictureFormat::kPng, file.Big(16, 4), file.Big(20, 4));
}

/// SOF0 to SOF15 without DHT, JPG and DAC, which lie between them.
bool IsFrameHeader(std::uint32_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

Result<PictureHeader> ReadJpeg(const Reader& file) {
  for (std::size_t at = 2; at < file.size();) {
    const auto prefix = file.Big(at, 1);
    const auto marker = file.Big(at + 1, 1);
    if (!marker.has_value() || *prefix != 0xFF) break;
    if (*marker == 0xFF) {  // Fill byte.
      ++at;
      continue;
    }
    const auto length = file.Big(at + 2, 2);
    if (!length.has_value() || *length < 2 || *marker == 0xD9 || *marker == 0xDA) break;
    if (IsFrameHeader(*marker))
      return Checked(PictureFormat::kJpeg, file.Big(at + 7, 2), file.Big(at + 5, 2));
    at += 2 + *length;
  }
  return Bad("the JPEG picture has no frame header");
}

Result<PictureHeader> ReadWebp(const Reader& file) {
  if (file.StartsWith(12, "VP8 ")) {
    if (!file.StartsWith(23, "\x9D\x01\x2A")) return Bad("the WebP picture does not begin with a key frame");
    const auto width = file.Little(26, 2);
    const auto height = file.Little(28, 2);
    if (!height.has_value()) return Bad("the picture ends within its header");
    return Checked(PictureFormat::kWebp, *width & 0x3FFFU, *height & 0x3FFFU);
  }
  if (file.StartsWith(12, "VP8L")) {
    const auto bits = file.Little(21, 4);
    if (!file.StartsWith(20, "\x2F") || !bits.has_value())
      return Bad("the lossless WebP picture's header is not one");
    return Checked(PictureFormat::kWebp, (*bits & 0x3FFFU) + 1, ((*bits >> 14U) & 0x3FFFU) + 1);
  }
  if (file.StartsWith(12, "VP8X")) {
    constexpr std::uint32_t kAnimation = 0x02;
    const auto flags = file.Little(20, 1);
    const auto width = file.Little(24, 3);
    const auto height = file.Little(27, 3);
    if (!height.has_value()) return Bad("the picture ends within its header");
    if ((*flags & kAnimation) != 0) return Bad("the WebP picture is animated; only still pictures are taken");
    return Checked(PictureFormat::kWebp, *width + 1, *height + 1);
  }
  return Bad("the WebP picture begins with an unknown chunk");
}

}  // namespace

std::string_view MediaType(PictureFormat format) {
  switch (format) {
    case PictureFormat::kPng:
      return "image/png";
    case PictureFormat::kJpeg:
      return "image/jpeg";
    case PictureFormat::kWebp:
      return "image/webp";
  }
  return {};
}

std::optional<PictureFormat> FormatOf(BytesView bytes) {
  const Reader file(bytes);
  if (file.StartsWith(0, "\x89PNG\r\n\x1A\n")) return PictureFormat::kPng;
  if (file.StartsWith(0, "\xFF\xD8\xFF")) return PictureFormat::kJpeg;
  if (file.StartsWith(0, "RIFF") && file.StartsWith(8, "WEBP")) return PictureFormat::kWebp;
  return std::nullopt;
}

Result<PictureHeader> ReadPictureHeader(BytesView bytes) {
  const Reader file(bytes);
  const auto format = FormatOf(bytes);
  if (format == PictureFormat::kPng) return ReadPng(file);
  if (format == PictureFormat::kJpeg) return ReadJpeg(file);
  if (format == PictureFormat::kWebp) return ReadWebp(file);
  return Bad("the picture is neither PNG, JPEG nor WebP");
}

}  // namespace mezzo::media
