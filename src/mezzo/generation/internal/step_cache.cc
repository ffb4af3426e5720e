#include "mezzo/generation/internal/step_cache.h"

#include <cmath>

namespace mezzo::generation::internal {

void StepCache::Keep(std::span<const float> prediction) {
  if (threshold_ <= 0) return;
  if (!kept_.empty()) {
    double change = 0;
    double size = 0;
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      change += std::abs(static_cast<double>(prediction[i]) - kept_[i]);
      size += std::abs(static_cast<double>(kept_[i]));
    }
    pace_ = size > 0 ? change / size / static_cast<double>(since_ + 1) : -1;
  }
  kept_.assign(prediction.begin(), prediction.end());
  since_ = 0;
}

std::span<const float> StepCache::Reuse(std::size_t step, std::size_t steps) {
  if (pace_ < 0 || step < 2 || step + 1 >= steps) return {};
  if (pace_ * static_cast<double>(since_ + 1) > threshold_) return {};
  ++since_;
  ++reused_;
  return kept_;
}

}  // namespace mezzo::generation::internal
