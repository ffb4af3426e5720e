#include "mezzo/drivers/ffmpeg/vips_picture_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <vips/vips.h>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

using media::FrameSize;
using media::PictureFormat;
using media::RgbaPicture;

constexpr int kStripRows = 64;

struct Unref {
  void operator()(void* object) const { g_object_unref(object); }
};
using ImagePtr = std::unique_ptr<VipsImage, Unref>;
using RegionPtr = std::unique_ptr<VipsRegion, Unref>;

/// What the library has to say; empties its buffer, which all threads share.
std::string Complaint() {
  char* copy = vips_error_buffer_copy();
  std::string text(Trim(copy));
  g_free(copy);
  return Printable(text, 200);
}

Error BadPicture(const std::string& what) {
  return InvalidArgument("picture_invalid", what + ": " + Complaint());
}

Result<void> StartLibrary() {
  static std::once_flag once;
  static bool started = false;
  std::call_once(once, [] {
    // What goes wrong is in return values.
    g_log_set_handler(
        "VIPS", static_cast<GLogLevelFlags>(G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO), [](auto...) {}, nullptr);
    started = VIPS_INIT("mezzo") == 0;
    if (!started) return;
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_block_untrusted_set(TRUE);
    vips_operation_block_set("VipsForeignLoad", TRUE);
    for (const char* loader : {"VipsForeignLoadPng", "VipsForeignLoadJpeg", "VipsForeignLoadWebp"}) {
      vips_operation_block_set(loader, FALSE);
    }
  });
  if (!started) return Internal("picture_library_failed", "libvips can't start: " + Complaint());
  return {};
}

Result<void> CheckLimits(BytesView file, const media::PictureLimits& limits) {
  const auto refuse = [](std::string message) {
    return InvalidArgument("picture_too_large", std::move(message));
  };
  if (file.size() > limits.max_bytes) {
    return refuse(fmt::format("the picture has {} bytes; the limit is {}", file.size(), limits.max_bytes));
  }
  MEZZO_TRY(const media::PictureHeader header, media::ReadPictureHeader(file));
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
  return {};
}

/// The smallest size of the upright picture's shape that covers `fit`, not larger than the picture.
FrameSize CoveringSize(FrameSize upright, FrameSize fit) {
  if (fit.width <= 0 || fit.height <= 0) return upright;
  const double scale = std::max(static_cast<double>(fit.width) / upright.width,
                                static_cast<double>(fit.height) / upright.height);
  if (scale >= 1) return upright;
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::ceil(side * scale - 1e-6)));
  };
  return {scaled(upright.width), scaled(upright.height)};
}

/// Upright, sRGB and small enough, but not computed yet.
Result<ImagePtr> OpenUpright(BytesView file, FrameSize fit) {
  ImagePtr header(vips_image_new_from_buffer(file.data(), file.size(), "", nullptr));
  if (header == nullptr) return BadPicture("the picture can't be read");
  FrameSize upright{vips_image_get_width(header.get()), vips_image_get_height(header.get())};
  if (vips_image_get_orientation_swap(header.get()) != 0) std::swap(upright.width, upright.height);
  const FrameSize size = CoveringSize(upright, fit);
  VipsImage* out = nullptr;
  // The library's signature is not const; it only reads.
  auto* data = const_cast<std::byte*>(file.data());
  if (vips_thumbnail_buffer(data, file.size(), &out, size.width, "height", size.height, "size",
                            VIPS_SIZE_DOWN, "export_profile", "srgb", "fail_on", VIPS_FAIL_ON_ERROR,
                            nullptr) != 0) {
    return BadPicture("the picture can't be decoded");
  }
  return ImagePtr(out);
}

/// Eight bits a channel, four channels.
Result<ImagePtr> ToRgba(ImagePtr image) {
  VipsImage* next = nullptr;
  if (vips_colourspace(image.get(), &next, VIPS_INTERPRETATION_sRGB, nullptr) != 0) {
    return BadPicture("the picture's colours can't be converted");
  }
  image.reset(next);
  if (vips_image_hasalpha(image.get()) == 0) {
    if (vips_addalpha(image.get(), &next, nullptr) != 0) return BadPicture("the picture can't be decoded");
    image.reset(next);
  }
  if (vips_cast_uchar(image.get(), &next, nullptr) != 0) return BadPicture("the picture can't be decoded");
  image.reset(next);
  if (vips_image_get_bands(image.get()) != RgbaPicture::kChannels) {
    return InvalidArgument("picture_invalid",
                           fmt::format("the picture has {} channels", vips_image_get_bands(image.get())));
  }
  return image;
}

}  // namespace

Result<VipsPictureCodec> VipsPictureCodec::Create() {
  MEZZO_TRY_VOID(StartLibrary());
  return VipsPictureCodec();
}

Result<RgbaPicture> VipsPictureCodec::Decode(BytesView file, const media::PictureLimits& limits,
                                             FrameSize fit) {
  MEZZO_TRY_VOID(CheckLimits(file, limits));
  MEZZO_TRY(ImagePtr opened, OpenUpright(file, fit));
  MEZZO_TRY(const ImagePtr image, ToRgba(std::move(opened)));
  RgbaPicture out({vips_image_get_width(image.get()), vips_image_get_height(image.get())});
  const RegionPtr region(vips_region_new(image.get()));
  for (int top = 0; top < out.size().height; top += kStripRows) {
    const VipsRect strip{0, top, out.size().width, std::min(kStripRows, out.size().height - top)};
    if (vips_region_prepare(region.get(), &strip) != 0) return BadPicture("the picture can't be decoded");
    for (int y = top; y < top + strip.height; ++y) {
      std::memcpy(out.row(y), VIPS_REGION_ADDR(region.get(), 0, y), out.stride());
    }
  }
  return out;
}

Result<std::string> VipsPictureCodec::Encode(const RgbaPicture& picture, PictureFormat format, int quality) {
  const auto [width, height] = picture.size();
  const std::size_t bytes = picture.stride() * static_cast<std::size_t>(height);
  const ImagePtr raw(vips_image_new_from_memory(picture.row(0), bytes, width, height, RgbaPicture::kChannels,
                                                VIPS_FORMAT_UCHAR));
  VipsImage* tagged = nullptr;
  if (raw == nullptr ||
      vips_copy(raw.get(), &tagged, "interpretation", VIPS_INTERPRETATION_sRGB, nullptr) != 0) {
    return Internal("picture_encode_failed", "the picture can't be encoded: " + Complaint());
  }
  const ImagePtr image(tagged);
  void* buffer = nullptr;
  std::size_t size = 0;
  int code = -1;
  switch (format) {
    case PictureFormat::kPng:
      code = vips_pngsave_buffer(image.get(), &buffer, &size, "strip", TRUE, nullptr);
      break;
    case PictureFormat::kJpeg: {
      const std::unique_ptr<VipsArrayDouble, void (*)(VipsArrayDouble*)> white(
          vips_array_double_newv(1, 255.0), [](VipsArrayDouble* a) { vips_area_unref(VIPS_AREA(a)); });
      code = vips_jpegsave_buffer(image.get(), &buffer, &size, "Q", quality, "strip", TRUE, "optimize_coding",
                                  TRUE, "background", white.get(), nullptr);
      break;
    }
    case PictureFormat::kWebp:
      code = vips_webpsave_buffer(image.get(), &buffer, &size, "Q", quality, "strip", TRUE, "smart_subsample",
                                  TRUE, nullptr);
      break;
  }
  if (code != 0) return Internal("picture_encode_failed", "the picture can't be encoded: " + Complaint());
  std::string out(static_cast<const char*>(buffer), size);
  g_free(buffer);
  return out;
}

}  // namespace mezzo::drivers
