#include "mezzo/generation/internal/picture_input.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation::internal {
namespace {

/// Whether the pixel is painted anew: at least half white (weights of ITU-R BT.601, as Pillow's "L").
bool IsWhite(const std::uint8_t* pixel) {
  constexpr int kThreshold = 128;
  return 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] >= kThreshold * 1000;
}

}  // namespace

PictureInput MakePictureInput(const ImageRequest& request, const ImagePlan& plan, std::size_t vae_factor,
                              tensor::DType dtype) {
  const media::RgbaPicture& picture = *request.picture;
  const auto width = static_cast<std::size_t>(plan.size.width);
  const auto height = static_cast<std::size_t>(plan.size.height);
  const std::size_t plane = width * height;
  std::vector<float> values(3 * plane);
  std::vector<float> masked(request.mask.has_value() ? values.size() : 0);
  for (std::size_t y = 0; y < height; ++y) {
    const std::uint8_t* pixel = picture.row(static_cast<int>(y));
    const std::uint8_t* mask = request.mask.has_value() ? request.mask->row(static_cast<int>(y)) : nullptr;
    for (std::size_t x = 0; x < width; ++x, pixel += media::RgbaPicture::kChannels) {
      const bool anew = mask != nullptr && IsWhite(mask + x * media::RgbaPicture::kChannels);
      for (std::size_t c = 0; c < 3; ++c) {
        const float value = 2 * (static_cast<float>(pixel[c]) / 255) - 1;
        const std::size_t at = c * plane + y * width + x;
        values[at] = value;
        if (mask != nullptr) masked[at] = anew ? 0 : value;
      }
    }
  }
  PictureInput input;
  const tensor::Shape shape{1, 3, plan.size.height, plan.size.width};
  input.picture = MakeNumbers(dtype, shape, std::span<const float>(values));
  if (!request.mask.has_value()) return input;
  input.masked = MakeNumbers(dtype, shape, std::span<const float>(masked));
  // The nearest pixel of each latent is its upper left one.
  for (std::size_t y = 0; y < plan.latent_height; ++y) {
    const std::uint8_t* row = request.mask->row(static_cast<int>(y * vae_factor));
    for (std::size_t x = 0; x < plan.latent_width; ++x)
      input.mask.push_back(IsWhite(row + x * vae_factor * media::RgbaPicture::kChannels) ? 1.0F : 0.0F);
  }
  return input;
}

Result<PictureLatents> ReadPictureLatents(const tensor::Tensor& output, std::size_t count) {
  MEZZO_TRY(std::vector<float> numbers, ReadNumbers(output));
  if (numbers.size() != count && numbers.size() != 2 * count) {
    return Internal("part_output", "the encoder of pictures gave " + output.shape.ToString() + "; " +
                                       std::to_string(count) + " or twice as many numbers are expected");
  }
  PictureLatents latents;
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(count);
  if (numbers.size() == 2 * count) {
    latents.deviation.resize(count);
    // The bounds are those of Diffusers' DiagonalGaussianDistribution.
    std::transform(middle, numbers.end(), latents.deviation.begin(), [](float log_variance) {
      return std::exp(0.5F * std::clamp(log_variance, -30.0F, 20.0F));
    });
  }
  numbers.erase(middle, numbers.end());
  latents.mean = std::move(numbers);
  return latents;
}

}  // namespace mezzo::generation::internal
