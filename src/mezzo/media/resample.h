#pragma once

#include <cstdint>
#include <vector>

#include "mezzo/media/picture.h"

namespace mezzo::media {

enum class Filter : std::uint8_t {
  kMitchell,  ///< Mitchell and Netravali 1988, B = C = 1/3: even softness at every sub-pixel phase, so motion
              ///< is smooth.
  kLanczos3,  ///< Sharper; for resizing once.
};

/// Along one axis: for each output sample, which source samples it is made of and with what weights.
///
/// Output sample i has its centre at source coordinate `start + (i + 0.5) * length / out_size`, where sample
/// k covers [k, k + 1). When the axis shrinks the filter is widened by as much, so nothing aliases. Beyond
/// its ends the source repeats its edge samples.
class AxisWeights {
 public:
  /// Weights are in units of 2^-14 and sum to 2^14 for every output.
  static constexpr int kWeightBits = 14;

  /// Computes the weights anew; reuses memory. `widen` false keeps the filter's own width when shrinking: for
  /// motion over pictures made for it, which shrink by little. All sizes and `length` must be positive.
  void Set(double start, double length, int source_size, int out_size, Filter filter, bool widen);

  [[nodiscard]] int size() const { return static_cast<int>(first_.size()); }
  [[nodiscard]] int taps() const { return taps_; }
  /// The first of the `taps()` source samples of output `i`.
  [[nodiscard]] int first(int i) const { return first_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const std::int16_t* weights(int i) const {
    return weights_.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_);
  }

 private:
  int taps_ = 0;
  std::vector<int> first_;
  std::vector<std::int16_t> weights_;
};

/// Memory that Resample() works in; one for each thread.
using ResampleScratch = std::vector<std::int16_t>;

/// Writes rows [first_row, last_row) of `out` from `source`, first along columns, then along rows.
/// `x.size()` is the width of `out` and `y.size()` its height. Results do not depend on how rows are divided.
void Resample(PlaneView source, const AxisWeights& x, const AxisWeights& y, Plane out, int first_row,
              int last_row, ResampleScratch& scratch);

/// All of `source`, resized with kLanczos3.
YuvPicture Resize(const YuvPicture& source, FrameSize size);
/// The same for pictures with transparency; colours of transparent pixels do not bleed.
RgbaPicture Resize(const RgbaPicture& source, FrameSize size);

}  // namespace mezzo::media
