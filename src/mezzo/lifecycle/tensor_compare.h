#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::lifecycle {

/// How near an output has to be to the expected one.
struct CompareRule {
  enum class Kind : std::uint8_t {
    kExact,      ///< Equal elements; NaN equals NaN, 0 equals -0.
    kTolerance,  ///< |actual − expected| ≤ absolute + relative · |expected|, for every element.
    kCosine,     ///< The cosine of each row (of the last dimension) is at least `at_least`.
    kSsim,       ///< The structural similarity of each picture's channels has at least this mean.
  };
  enum class Layout : std::uint8_t { kNchw, kNhwc };
  Kind kind = Kind::kExact;
  double absolute = 1e-5;
  double relative = 1e-4;
  double at_least = 0.999;
  double range = 0;  ///< Of SSIM: between the largest and the smallest sample; 0: 255 for UINT8, 1 for reals.
  Layout layout = Layout::kNchw;  ///< Of SSIM: of the last three dimensions; two mean one channel.
};
std::string_view RuleName(CompareRule::Kind kind);  ///< "exact", "tolerance", "cosine", "ssim".

/// What a comparison found.
struct Comparison {
  bool near = false;
  std::string reason;  ///< Exactly what is too far; empty when `near`.
  /// "max_abs_error", "max_rel_error" of numbers; "min_cosine"; "min_ssim". Finite ones only.
  std::map<std::string, double> measured;
};

/// Compares an output with what was expected. Both are whole tensors (tensor::CheckTensor). Another type or
/// shape, or a rule that does not suit the type, is not near. Pure.
Comparison Compare(const CompareRule& rule, const tensor::Tensor& expected, const tensor::Tensor& actual);

/// The elements of a tensor of numbers or booleans. 64-bit integers beyond 2^53 are rounded. Not for kBytes.
std::vector<double> ElementsAsReals(const tensor::Tensor& tensor);

}  // namespace mezzo::lifecycle
