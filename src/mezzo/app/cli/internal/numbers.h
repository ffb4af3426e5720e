#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "mezzo/tensor/dtype.h"

namespace mezzo::app::cli {

/// Rounded to the nearest, ties to even.
inline std::uint16_t Bf16Of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float FloatOfBf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
inline std::uint16_t Fp16Of(float value) {
  return std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}
inline float FloatOfFp16(std::uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

template <typename T>
void AppendRaw(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

/// Calls `visit` with a zero of the C++ type of an integer or boolean element (bool as std::uint8_t).
template <typename Visit>
bool VisitInteger(tensor::DType dtype, Visit visit) {
  using tensor::DType;
  switch (dtype) {
    case DType::kBool:
    case DType::kUint8:
      visit(std::uint8_t{});
      return true;
    case DType::kUint16:
      visit(std::uint16_t{});
      return true;
    case DType::kUint32:
      visit(std::uint32_t{});
      return true;
    case DType::kUint64:
      visit(std::uint64_t{});
      return true;
    case DType::kInt8:
      visit(std::int8_t{});
      return true;
    case DType::kInt16:
      visit(std::int16_t{});
      return true;
    case DType::kInt32:
      visit(std::int32_t{});
      return true;
    case DType::kInt64:
      visit(std::int64_t{});
      return true;
    default:
      return false;
  }
}

/// Appends a real number as an element of kFp16, kBf16, kFp32 or kFp64.
inline void AppendReal(std::string& out, tensor::DType dtype, double value) {
  switch (dtype) {
    case tensor::DType::kFp16:
      return AppendRaw(out, Fp16Of(static_cast<float>(value)));
    case tensor::DType::kBf16:
      return AppendRaw(out, Bf16Of(static_cast<float>(value)));
    case tensor::DType::kFp32:
      return AppendRaw(out, static_cast<float>(value));
    default:
      return AppendRaw(out, value);
  }
}

}  // namespace mezzo::app::cli
