#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/picture.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::generation {

/// What a picture may cost. A request at a limit passes, one beyond is refused.
struct ImageLimits {
  std::size_t max_images = 10;  ///< Of one request.
  std::size_t max_side = 4096;  ///< Pixels.
  std::size_t max_pixels = std::size_t{1} << 22;
  std::size_t max_steps = 150;
  double max_guidance = 50;
  std::size_t max_previews = 3;  ///< Of each picture.
};

/// Pictures that somebody wants. What is left out is chosen as the pipeline's own class in Diffusers does.
struct ImageRequest {
  std::string prompt;
  std::optional<std::string> negative_prompt;  ///< None is not always the empty one: SDXL takes zeros for it.
  std::size_t images = 1;
  std::optional<media::FrameSize> size;  ///< Default: what the networks were trained with.
  std::optional<std::size_t> steps;
  double steps_factor = 1;  ///< (0, 1]: multiplies the steps, the default ones too; one is left at least.
  std::optional<double> guidance;  ///< Above 1 the negative prompt counts, and each step costs two rows.
  std::uint64_t seed = 0;          ///< Picture i has seed + i, and is the one that Diffusers makes of it.
  std::string sampler;             ///< Of SamplerNames(); empty: the pipeline's own.
  double eta = 0;                  ///< Of DDIM.
  /// [0, 1]: a step takes the network's last prediction again where that is expected to have changed by no
  /// more than this, relatively; 0 never. Faster, and another picture: docs/models-diffusion.md.
  double step_cache = 0;

  std::optional<media::RgbaPicture> picture;  ///< To start from. Of the size asked for, or made so before.
  std::optional<media::RgbaPicture> mask;     ///< Of the same size: white is painted anew, black is kept.
  double strength = 0.8;                      ///< (0, 1]: how far to leave `picture`. Ignored without one.
  std::size_t previews = 0;  ///< Pictures decoded on the way, evenly over the steps, as partial results.
};

/// Checks everything that does not depend on a pipeline. Errors are kInvalidArgument and name field, value
/// and limit: "image_request" for sizes, counts and numbers, "sampler_unknown", "prompt_too_long",
/// "prompt_not_utf8".
Result<void> CheckRequest(const ImageRequest& request, const ImageLimits& limits);

/// A step that one picture of a request has taken. Handed out on the thread that ran it.
struct ImageStep {
  std::size_t image = 0;  ///< From 0.
  std::size_t step = 0;   ///< From 1.
  std::size_t steps = 0;  ///< Of this picture.
};

/// Watches a request. Called on device threads, between steps: has to return in microseconds.
class ImageObserver {
 public:
  virtual ~ImageObserver() = default;
  virtual void OnStep(const ImageStep& step) = 0;
  /// `sample` is what the picture looks like now: see GeneratedImage::sample.
  virtual void OnPreview(std::size_t image, std::size_t preview, tensor::Tensor sample) = 0;
  /// At the end of a request that began, however it ended, on its loop.
  virtual void OnEnd(Duration device_time) = 0;
};

/// One finished picture.
struct GeneratedImage {
  std::uint64_t seed = 0;
  std::size_t steps_reused = 0;  ///< Steps that did without a run of the network.
  tensor::Tensor sample;         ///< FP16 or FP32 [1, 3, height, width], about -1 (black) to 1 (white).
  std::vector<float> latents;    ///< What it was decoded from (times the scaling factor), channels first.
};

struct ImageResult {
  std::vector<GeneratedImage> images;
  std::string version;     ///< Of the pipeline.
  std::size_t steps = 0;   ///< Of each picture.
  Duration device_time{};  ///< All parts; of a shared batch the share by rows.
  Duration first_step{};   ///< From the request to the end of its first denoising step.
};

/// Values in [0, 1] in the order of the tensor, as Diffusers' output_type "np" has them (but channels first).
/// Fails with kInternal "part_output" when `sample` is no [1, 3, height, width] of FP16 or FP32.
Result<std::vector<float>> ToUnitRange(const tensor::Tensor& sample);
/// The same rounded to 8 bits, as Diffusers' output_type "pil" is. Costs milliseconds: for pools.
Result<media::RgbaPicture> ToPicture(const tensor::Tensor& sample);

}  // namespace mezzo::generation
