#include "mezzo/tensor/dtype.h"

#include <array>

namespace mezzo::tensor {
namespace {

struct Entry {
  DType dtype;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Entry, 14> kTypes = {{
    {DType::kBool, "BOOL", 1},
    {DType::kUint8, "UINT8", 1},
    {DType::kUint16, "UINT16", 2},
    {DType::kUint32, "UINT32", 4},
    {DType::kUint64, "UINT64", 8},
    {DType::kInt8, "INT8", 1},
    {DType::kInt16, "INT16", 2},
    {DType::kInt32, "INT32", 4},
    {DType::kInt64, "INT64", 8},
    {DType::kFp16, "FP16", 2},
    {DType::kBf16, "BF16", 2},
    {DType::kFp32, "FP32", 4},
    {DType::kFp64, "FP64", 8},
    {DType::kBytes, "BYTES", 0},
}};

}  // namespace

std::string_view DTypeName(DType dtype) { return kTypes.at(static_cast<std::size_t>(dtype)).name; }

std::size_t DTypeSize(DType dtype) { return kTypes.at(static_cast<std::size_t>(dtype)).size; }

std::optional<DType> ParseDType(std::string_view name) {
  for (const auto& entry : kTypes) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

}  // namespace mezzo::tensor
