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

/// The bits of the nearest half, ties to even; values from 65520 on are infinite, NaN stays one.
inline std::uint16_t HalfBits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16U & 0x8000U);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (std::fabs(value) >= 65520.0F) return static_cast<std::uint16_t>(sign | 0x7C00U);
  const float rounded = std::fabs(RoundToHalf(value));
  if (rounded < 0x1p-14F)
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(rounded * 0x1p24F));
  constexpr std::uint32_t kBiasDifference = (127U - 15U) << 23U;
  return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(rounded) - kBiasDifference) >> 13U);
}

/// The value of a half.
inline float HalfValue(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const std::uint32_t exponent = bits >> 10U & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0)
    return std::copysign(static_cast<float>(mantissa) * 0x1p-24F, std::bit_cast<float>(sign));
  const std::uint32_t wide = exponent == 0x1FU ? 0xFFU : exponent + (127U - 15U);
  return std::bit_cast<float>(sign | wide << 23U | mantissa << 13U);
}

}  // namespace mezzo::generation::internal
