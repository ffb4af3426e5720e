#pragma once

#include <span>

namespace mezzo::generation::internal {

/// Turns 16 uniform numbers of [0, 1) into standard normal ones (Box, Muller 1958): value i and i + 8 are a
/// pair. Uses the C library's functions.
void BoxMuller16(std::span<double, 16> values);

/// The same in half precision: takes and gives values that half precision has, and rounds the radius and the
/// angle to it, too.
void BoxMullerHalf16(std::span<float, 16> values);

/// The same in single precision with the logarithm, sine and cosine of the Cephes library (Moshier) in the
/// order of operations of PyTorch's AVX2 kernel, fused multiply-adds included: equal bits on every machine.
void BoxMullerCephes16(std::span<float, 16> values);

}  // namespace mezzo::generation::internal
