#include "mezzo/generation/image_request.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "mezzo/base/strings.h"
#include "mezzo/generation/clip_tokenizer.h"
#include "mezzo/generation/internal/number_tensor.h"
#include "mezzo/generation/sampler.h"
#include "mezzo/generation/scheduler_config.h"

namespace mezzo::generation {
namespace {

Error Wrong(std::string message) { return InvalidArgument("image_request", std::move(message)); }

Result<void> CheckCount(std::string_view name, std::size_t value, std::size_t least, std::size_t most) {
  if (value >= least && value <= most) return {};
  return Wrong(fmt::format("'{}' is {}; it has to be {} to {}", name, value, least, most));
}

Result<void> CheckNumber(std::string_view name, double value, double least, double most) {
  if (value >= least && value <= most) return {};
  return Wrong(fmt::format("'{}' is {}; it has to be {} to {}", name, value, least, most));
}

Result<void> CheckSize(std::string_view name, media::FrameSize size, const ImageLimits& limits) {
  const auto most = static_cast<int>(limits.max_side);
  if (size.width < 1 || size.height < 1 || size.width > most || size.height > most) {
    return Wrong(fmt::format("'{}' is {}x{}; sides have to be 1 to {}", name, size.width, size.height, most));
  }
  const auto pixels = static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
  if (pixels <= limits.max_pixels) return {};
  return Wrong(fmt::format("'{}' is {}x{}, which is {} pixels; the limit is {}", name, size.width,
                           size.height, pixels, limits.max_pixels));
}

Result<void> CheckPrompt(std::string_view name, std::string_view prompt) {
  if (prompt.size() > ClipTokenizer::kMaxTextBytes) {
    return InvalidArgument("prompt_too_long", fmt::format("'{}' has {} bytes; the limit is {}", name,
                                                          prompt.size(), ClipTokenizer::kMaxTextBytes));
  }
  return {};
}

Result<void> CheckSampler(const std::string& sampler) {
  const auto names = SamplerNames();
  if (sampler.empty() || SchedulerKindOf(sampler).has_value() ||
      std::find(names.begin(), names.end(), sampler) != names.end()) {
    return {};
  }
  return InvalidArgument("sampler_unknown", fmt::format("'sampler' is '{}'; there are {}", Printable(sampler),
                                                        fmt::join(names, ", ")));
}

Result<void> CheckPictures(const ImageRequest& request, const ImageLimits& limits) {
  if (request.mask.has_value() && !request.picture.has_value())
    return Wrong("'mask' is given without a picture to paint in");
  if (!request.picture.has_value()) return {};
  MEZZO_TRY_VOID(CheckSize("image", request.picture->size(), limits));
  if (!(request.strength > 0 && request.strength <= 1))
    return Wrong(fmt::format("'strength' is {}; it has to be above 0 and at most 1", request.strength));
  const auto same = [&](std::string_view name, media::FrameSize size) -> Result<void> {
    const media::FrameSize wanted = request.picture->size();
    if (size == wanted) return {};
    return Wrong(fmt::format("'{}' is {}x{}, but the image is {}x{}", name, size.width, size.height,
                             wanted.width, wanted.height));
  };
  if (request.mask.has_value()) MEZZO_TRY_VOID(same("mask", request.mask->size()));
  if (request.size.has_value()) MEZZO_TRY_VOID(same("size", *request.size));
  return {};
}

}  // namespace

Result<void> CheckRequest(const ImageRequest& request, const ImageLimits& limits) {
  MEZZO_TRY_VOID(CheckPrompt("prompt", request.prompt));
  MEZZO_TRY_VOID(CheckPrompt("negative_prompt", request.negative_prompt.value_or("")));
  MEZZO_TRY_VOID(CheckCount("n", request.images, 1, limits.max_images));
  if (request.size.has_value()) MEZZO_TRY_VOID(CheckSize("size", *request.size, limits));
  if (request.steps.has_value()) MEZZO_TRY_VOID(CheckCount("steps", *request.steps, 1, limits.max_steps));
  if (request.guidance.has_value())
    MEZZO_TRY_VOID(CheckNumber("guidance", *request.guidance, 0, limits.max_guidance));
  MEZZO_TRY_VOID(CheckCount("partial_images", request.previews, 0, limits.max_previews));
  MEZZO_TRY_VOID(CheckNumber("eta", request.eta, 0, 1));
  MEZZO_TRY_VOID(CheckNumber("step_cache", request.step_cache, 0, 1));
  MEZZO_TRY_VOID(CheckSampler(request.sampler));
  return CheckPictures(request, limits);
}

Result<std::vector<float>> ToUnitRange(const tensor::Tensor& sample) {
  const tensor::Shape& shape = sample.shape;
  if (shape.rank() != 4 || shape[0] != 1 || shape[1] != 3) {
    return Internal("part_output",
                    "the decoder gave a picture of shape " + shape.ToString() + " instead of [1,3,H,W]");
  }
  MEZZO_TRY(std::vector<float> values, internal::ReadNumbers(sample));
  for (float& value : values) value = std::clamp(value / 2 + 0.5F, 0.0F, 1.0F);
  return values;
}

Result<media::RgbaPicture> ToPicture(const tensor::Tensor& sample) {
  MEZZO_TRY(const std::vector<float> values, ToUnitRange(sample));
  const auto height = static_cast<int>(sample.shape[2]);
  const auto width = static_cast<int>(sample.shape[3]);
  media::RgbaPicture picture({.width = width, .height = height});
  const std::size_t plane = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  std::size_t at = 0;
  for (int y = 0; y < height; ++y) {
    std::uint8_t* pixel = picture.row(y);
    for (int x = 0; x < width; ++x, ++at, pixel += media::RgbaPicture::kChannels) {
      // Halves go to the even number, as NumPy's round().
      for (std::size_t c = 0; c < 3; ++c)
        pixel[c] = static_cast<std::uint8_t>(std::nearbyint(values[c * plane + at] * 255));
      pixel[3] = 255;
    }
  }
  return picture;
}

}  // namespace mezzo::generation
