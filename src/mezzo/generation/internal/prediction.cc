#include "mezzo/generation/internal/prediction.h"

#include <algorithm>

namespace mezzo::generation::internal {
namespace {

/// torch.quantile(): linear between neighbours. Reorders `values`.
float Quantile(std::span<float> values, float ratio) {
  const float rank = ratio * static_cast<float>(values.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(rank), values.size() - 1);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  if (below + 1 == values.size()) return *at;
  const float above = *std::min_element(at + 1, values.end());
  return *at + (above - *at) * (rank - static_cast<float>(below));
}

}  // namespace

OriginalPredictor::OriginalPredictor(const SchedulerConfig& config, std::size_t elements)
    : type_(config.prediction_type),
      clips_(config.clip_sample.value_or(false)),
      clip_range_(static_cast<float>(config.clip_sample_range)),
      thresholds_(config.thresholding),
      threshold_ratio_(static_cast<float>(config.dynamic_thresholding_ratio)),
      threshold_max_(static_cast<float>(config.sample_max_value)),
      original_(elements),
      magnitudes_(config.thresholding ? elements : 0) {}

std::span<const float> OriginalPredictor::Predict(const NoiseLevel& level, std::span<const float> output,
                                                  std::span<const float> sample) {
  const auto [signal, noise] = level;
  switch (type_) {
    case PredictionType::kEpsilon:
      for (std::size_t i = 0; i < original_.size(); ++i) {
        original_[i] = (sample[i] - noise * output[i]) / signal;
      }
      break;
    case PredictionType::kVPrediction:
      for (std::size_t i = 0; i < original_.size(); ++i) {
        original_[i] = signal * sample[i] - noise * output[i];
      }
      break;
    case PredictionType::kSample:
      std::copy(output.begin(), output.end(), original_.begin());
      break;
  }
  if (thresholds_) {
    Threshold();
  } else if (clips_) {
    for (float& value : original_) value = std::clamp(value, -clip_range_, clip_range_);
  }
  return original_;
}

void OriginalPredictor::Threshold() {
  for (std::size_t i = 0; i < original_.size(); ++i) magnitudes_[i] = std::fabs(original_[i]);
  // The maximum wins when it is below 1.
  const float limit = std::min(std::max(Quantile(magnitudes_, threshold_ratio_), 1.0F), threshold_max_);
  for (float& value : original_) value = std::clamp(value, -limit, limit) / limit;
}

}  // namespace mezzo::generation::internal
