#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "mezzo/generation/sampler.h"
#include "mezzo/generation/scheduler_config.h"

namespace mezzo::generation::internal {

/// The level of latents that have `alpha_cumprod` of the picture left.
inline NoiseLevel LevelOfAlpha(float alpha_cumprod) {
  return {.signal = std::sqrt(alpha_cumprod), .noise = std::sqrt(1 - alpha_cumprod)};
}

/// The noise that a prediction says is in `sample`, one number of the latents.
inline float PredictedNoise(PredictionType type, const NoiseLevel& level, float output, float sample) {
  switch (type) {
    case PredictionType::kVPrediction:
      return level.signal * output + level.noise * sample;
    case PredictionType::kSample:
      return (sample - level.signal * output) / level.noise;
    case PredictionType::kEpsilon:
      break;
  }
  return output;
}

/// The picture without noise that a prediction stands for.
class OriginalPredictor {
 public:
  /// From `config`: the type of prediction, and whether the picture is clipped to +-clip_sample_range or
  /// thresholded (dynamic thresholding, Saharia et al. 2022). `elements` of the latents of one picture.
  OriginalPredictor(const SchedulerConfig& config, std::size_t elements);

  /// For latents of this level. The result stays until the next call.
  std::span<const float> Predict(const NoiseLevel& level, std::span<const float> output,
                                 std::span<const float> sample);

 private:
  void Threshold();

  const PredictionType type_;
  const bool clips_;
  const float clip_range_;
  const bool thresholds_;
  const float threshold_ratio_;
  const float threshold_max_;
  std::vector<float> original_;
  std::vector<float> magnitudes_;  // Empty unless thresholds_.
};

}  // namespace mezzo::generation::internal
