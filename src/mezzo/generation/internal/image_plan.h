#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/pipeline_config.h"
#include "mezzo/generation/sampler.h"
#include "mezzo/generation/torch_random.h"

namespace mezzo::generation::internal {

/// A request with everything decided, as one pipeline takes it.
struct ImagePlan {
  media::FrameSize size;
  std::size_t latent_height = 0;
  std::size_t latent_width = 0;
  std::size_t latent_count = 0;  ///< Numbers in the latents of one picture.
  double guidance = 1;
  bool two_rows = false;      ///< Guidance by a second, unconditional prediction.
  bool from_picture = false;  ///< Image to image, or inpainting.
  bool paints_in = false;     ///< Inpainting: a mask says what is kept.
  bool sees_mask = false;     ///< The network takes mask and masked picture beside the latents.
  double step_cache = 0;      ///< As in ImageRequest.
  SamplerOptions sampler;     ///< For each picture.
};

/// Errors are kInvalidArgument "image_request", naming field, value and what the pipeline takes: sizes that
/// are no multiple of the VAE's factor (and of 8), steps above the training schedule, a mask for nothing.
Result<ImagePlan> MakePlan(const ImageRequest& request, const PipelineConfig& config,
                           const ImageLimits& limits);

}  // namespace mezzo::generation::internal
