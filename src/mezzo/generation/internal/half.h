#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace mezzo::generation::internal {

/// The nearest value that half precision (IEEE 754 binary16) has, ties to even. |value| is below 65520.
inline float RoundToHalf(float value) {
  constexpr float kSmallestNormal = 0x1p-14F;
  if (std::fabs(value) < kSmallestNormal) {
    // Subnormal halves are the multiples of 2^-24, as floats of [0.5, 1) are.
    return std::copysign(std::fabs(value) + 0.5F - 0.5F, value);
  }
  constexpr std::uint32_t kDropped = 0x1FFF;  // The 13 bits that single precision has more.
  auto bits = std::bit_cast<std::uint32_t>(value);
  bits += kDropped / 2 + (bits >> 13U & 1U);
  return std::bit_cast<float>(bits & ~kDropped);
}

}  // namespace mezzo::generation::internal
