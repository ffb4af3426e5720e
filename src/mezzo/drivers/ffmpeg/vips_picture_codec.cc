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
#include "mezzo/media/resample.h"

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

/// The smallest size of the picture's shape that covers `fit`, not larger than the picture.
FrameSize CoveringSize(FrameSize picture, FrameSize fit) {
  if (fit.width <= 0 || fit.height <= 0) return picture;
  const double scale = std::max(static_cast<double>(fit.width) / picture.width,
                                static_cast<double>(fit.height) / picture.height);
  if (scale >= 1) return picture;
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::ceil(side * scale - 1e-6)));
  };
  return {scaled(picture.width), scaled(picture.height)};
}

/// Opens `file` without decoding it. Whatever computes its pixels decodes all of it to memory first: the
/// library's streaming way replaces lines that it can't decode by black ones and says nothing.
Result<ImagePtr> Open(BytesView file, PictureFormat format, int shrink) {
  // The library's signature is not const; it only reads.
  auto* data = const_cast<std::byte*>(file.data());
  VipsImage* out = nullptr;
  int code = -1;
  switch (format) {
    case PictureFormat::kPng:
      code = vips_pngload_buffer(data, file.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, "memory", TRUE,
                                 nullptr);
      break;
    case PictureFormat::kJpeg:
      code = vips_jpegload_buffer(data, file.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, "memory", TRUE,
                                  "shrink", shrink, nullptr);
      break;
    case PictureFormat::kWebp:
      code = vips_webpload_buffer(data, file.size(), &out, "fail_on", VIPS_FAIL_ON_ERROR, "memory", TRUE,
                                  "scale", 1.0 / shrink, nullptr);
      break;
  }
  if (code != 0) return BadPicture("the picture can't be read");
  return ImagePtr(out);
}

/// By how much JPEG and WebP pictures are made smaller while they are decoded, which costs less than decoding
/// them in full: the largest of the powers that JPEG can do that leaves `wanted` of `size`.
int ShrinkOnLoad(PictureFormat format, FrameSize size, FrameSize wanted) {
  int shrink = 1;
  if (format == PictureFormat::kPng) return shrink;
  while (shrink < 8 && size.width >= 2 * shrink * wanted.width && size.height >= 2 * shrink * wanted.height)
    shrink *= 2;
  return shrink;
}

/// Colours that the file's own profile describes become sRGB.
Result<ImagePtr> WithoutProfile(ImagePtr image) {
  if (vips_image_get_typeof(image.get(), VIPS_META_ICC_NAME) == 0) return image;
  VipsImage* next = nullptr;
  // Relative intent: white stays white. A damaged profile counts as sRGB's.
  if (vips_icc_transform(image.get(), &next, "srgb", "embedded", TRUE, "input_profile", "srgb", "intent",
                         VIPS_INTENT_RELATIVE, nullptr) != 0) {
    return BadPicture("the picture's colours can't be converted");
  }
  return ImagePtr(next);
}

/// Eight bits a channel, four channels, sRGB.
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

/// Computes the pixels.
Result<RgbaPicture> Compute(VipsImage* image) {
  RgbaPicture out({vips_image_get_width(image), vips_image_get_height(image)});
  const RegionPtr region(vips_region_new(image));
  for (int top = 0; top < out.size().height; top += kStripRows) {
    const VipsRect strip{0, top, out.size().width, std::min(kStripRows, out.size().height - top)};
    if (vips_region_prepare(region.get(), &strip) != 0) return BadPicture("the picture can't be decoded");
    for (int y = top; y < top + strip.height; ++y) {
      std::memcpy(out.row(y), VIPS_REGION_ADDR(region.get(), 0, y), out.stride());
    }
  }
  return out;
}

}  // namespace

Result<VipsPictureCodec> VipsPictureCodec::Create() {
  MEZZO_TRY_VOID(StartLibrary());
  return VipsPictureCodec();
}

Result<RgbaPicture> VipsPictureCodec::Decode(BytesView file, const media::PictureLimits& limits,
                                             FrameSize fit) {
  MEZZO_TRY_VOID(StartLibrary());
  MEZZO_TRY(const media::PictureHeader header, media::CheckPictureLimits(file, limits));
  MEZZO_TRY(ImagePtr image, Open(file, header.format, 1));
  // The fit is of the upright picture, the file's sides may be exchanged.
  const bool turned = vips_image_get_orientation_swap(image.get()) != 0;
  if (turned) std::swap(fit.width, fit.height);
  const FrameSize size{vips_image_get_width(image.get()), vips_image_get_height(image.get())};
  const FrameSize wanted = CoveringSize(size, fit);
  const int shrink = ShrinkOnLoad(header.format, size, wanted);
  if (shrink > 1) {
    MEZZO_TRY(image, Open(file, header.format, shrink));
  }
  VipsImage* next = nullptr;
  if (vips_autorot(image.get(), &next, nullptr) != 0) return BadPicture("the picture can't be turned");
  image.reset(next);
  MEZZO_TRY(image, WithoutProfile(std::move(image)));
  MEZZO_TRY(image, ToRgba(std::move(image)));
  MEZZO_TRY(RgbaPicture out, Compute(image.get()));
  const FrameSize upright = turned ? FrameSize{wanted.height, wanted.width} : wanted;
  return out.size() == upright ? std::move(out) : media::Resize(out, upright);
}

Result<std::string> VipsPictureCodec::Encode(const RgbaPicture& picture, PictureFormat format, int quality) {
  MEZZO_TRY_VOID(StartLibrary());
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
