#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace mezzo::generation::internal {

/// Tells which steps of a picture may take the network's last prediction again instead of running it: those
/// before which the prediction is expected to have changed by no more than a threshold. The change is
/// expected to go on at the pace seen between the last two runs, in relative L1 distance, as TeaCache (Liu et
/// al., 2024) accumulates it; that one looks into the network, this one only at what it gives. Not
/// thread-safe.
class StepCache {
 public:
  /// `threshold` 0: nothing is kept and no step reuses.
  explicit StepCache(double threshold) : threshold_(threshold) {}

  /// A run of the network gave `prediction`, guidance applied; its size never changes.
  void Keep(std::span<const float> prediction);
  /// What step `step` (from 0) of `steps` may take, until the next Keep(); empty: the network has to run. The
  /// first two steps and the last one always run.
  std::span<const float> Reuse(std::size_t step, std::size_t steps);
  /// Steps that took a prediction again.
  [[nodiscard]] std::size_t reused() const { return reused_; }

 private:
  const double threshold_;
  std::vector<float> kept_;
  double pace_ = -1;       // Relative change in a step; negative before the second run.
  std::size_t since_ = 0;  // Steps since the last run.
  std::size_t reused_ = 0;
};

}  // namespace mezzo::generation::internal
