#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mezzo::tensor {

/// Element types of the Open Inference Protocol v2 (with BF16, which Triton adds).
enum class DType : std::uint8_t {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp16,
  kBf16,
  kFp32,
  kFp64,
  kBytes,
};

/// The protocol's name: "FP32", "BYTES".
std::string_view DTypeName(DType dtype);
/// The type of a protocol name, or nothing.
std::optional<DType> ParseDType(std::string_view name);
/// Bytes of one element; 0 for kBytes, whose elements have their own lengths.
std::size_t DTypeSize(DType dtype);

}  // namespace mezzo::tensor
