#pragma once

#include <span>

#include "mezzo/base/result.h"

namespace mezzo::media {

/// One channel of a picture as real numbers, row by row.
struct RealPlane {
  std::span<const double> samples;  ///< width × height.
  int width = 0;
  int height = 0;
};

/// The sides of SSIM's window: smaller planes have none.
inline constexpr int kSsimWindow = 11;

/// Mean structural similarity of two planes of one size: 1 for equal ones, below 1 otherwise. `range` is the
/// difference between the largest and the smallest sample there can be (255 for bytes).
///
/// Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to Structural Similarity
/// (2004), with its Gaussian window of 11 × 11 and σ 1.5, K1 0.01, K2 0.03, biased moments, and the mean over
/// all windows that lie within the planes; as scikit-image's structural_similarity(gaussian_weights=True,
/// sigma=1.5, use_sample_covariance=False).
///
/// Fails with kInvalidArgument "ssim_sizes": planes of different sizes, smaller than the window or not of
/// width × height samples, or a range that is not above zero. Costs 110 multiplications a sample.
Result<double> Ssim(const RealPlane& a, const RealPlane& b, double range);

}  // namespace mezzo::media
