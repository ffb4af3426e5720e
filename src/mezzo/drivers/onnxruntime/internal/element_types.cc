#include "mezzo/drivers/onnxruntime/internal/element_types.h"

#include <array>
#include <string_view>

#include "mezzo/base/check.h"

namespace mezzo::drivers {
namespace {

using tensor::DType;

/// Indexed by ONNXTensorElementDataType.
struct TypeRow {
  std::string_view name;
  std::optional<DType> dtype;
};
constexpr std::array<TypeRow, 26> kTypes = {{
    {"undefined", std::nullopt},      {"float", DType::kFp32},      {"uint8", DType::kUint8},
    {"int8", DType::kInt8},           {"uint16", DType::kUint16},   {"int16", DType::kInt16},
    {"int32", DType::kInt32},         {"int64", DType::kInt64},     {"string", DType::kBytes},
    {"bool", DType::kBool},           {"float16", DType::kFp16},    {"double", DType::kFp64},
    {"uint32", DType::kUint32},       {"uint64", DType::kUint64},   {"complex64", std::nullopt},
    {"complex128", std::nullopt},     {"bfloat16", DType::kBf16},   {"float8e4m3fn", std::nullopt},
    {"float8e4m3fnuz", std::nullopt}, {"float8e5m2", std::nullopt}, {"float8e5m2fnuz", std::nullopt},
    {"uint4", std::nullopt},          {"int4", std::nullopt},       {"float4e2m1", std::nullopt},
    {"uint2", std::nullopt},          {"int2", std::nullopt},
}};

constexpr std::array<ONNXTensorElementDataType, 14> MakeReverse() {
  std::array<ONNXTensorElementDataType, 14> reverse{};
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (const auto dtype = kTypes[i].dtype) {
      reverse[static_cast<std::size_t>(*dtype)] = static_cast<ONNXTensorElementDataType>(i);
    }
  }
  return reverse;
}
constexpr auto kReverse = MakeReverse();

}  // namespace

ONNXTensorElementDataType ToOrtType(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  MEZZO_CHECK(index < kReverse.size());
  return kReverse[index];
}

std::optional<DType> FromOrtType(ONNXTensorElementDataType type) {
  const auto index = static_cast<std::size_t>(type);
  return index < kTypes.size() ? kTypes[index].dtype : std::nullopt;
}

std::string OrtTypeName(ONNXTensorElementDataType type) {
  const auto index = static_cast<std::size_t>(type);
  return index < kTypes.size() ? std::string(kTypes[index].name) : "type " + std::to_string(index);
}

}  // namespace mezzo::drivers
