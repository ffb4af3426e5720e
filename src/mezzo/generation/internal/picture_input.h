#pragma once

#include <optional>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::generation::internal {

/// The pixels that a request starts from, as the networks take them.
struct PictureInput {
  tensor::Tensor picture;                ///< [1, 3, height, width], -1 to 1.
  std::optional<tensor::Tensor> masked;  ///< With a mask: the same with 0 where it is painted anew.
  std::vector<float> mask;               ///< [latent height, latent width]: 1 is painted anew, 0 is kept.
};

/// `dtype` is that of the encoder's input. The request has a picture of the plan's size.
PictureInput MakePictureInput(const ImageRequest& request, const ImagePlan& plan, std::size_t vae_factor,
                              tensor::DType dtype);

/// What the encoder says of a picture: latents are mean + deviation * normal noise.
struct PictureLatents {
  std::vector<float> mean;
  std::vector<float> deviation;  ///< Empty: the encoder gave latents, not a distribution.
};

/// Reads "latent_parameters" (mean, then logarithm of the variance) or "latent_sample". Fails with kInternal
/// "part_output" when it has not `count` or twice as many numbers.
Result<PictureLatents> ReadPictureLatents(const tensor::Tensor& output, std::size_t count);

}  // namespace mezzo::generation::internal
