#include "mezzo/generation/internal/number_tensor.h"

#include <cstring>
#include <string>

#include "mezzo/base/check.h"
#include "mezzo/generation/internal/half.h"

namespace mezzo::generation::internal {
namespace {

using tensor::DType;

template <typename To, typename From>
void Convert(std::span<const From> values, std::byte* to) {
  for (const From value : values) {
    const To converted = static_cast<To>(value);
    std::memcpy(to, &converted, sizeof(To));
    to += sizeof(To);
  }
}

template <typename From>
void WriteAs(std::span<const From> values, DType dtype, std::byte* to) {
  switch (dtype) {
    case DType::kFp32:
      return Convert<float>(values, to);
    case DType::kFp64:
      return Convert<double>(values, to);
    case DType::kInt32:
      return Convert<std::int32_t>(values, to);
    case DType::kInt64:
      return Convert<std::int64_t>(values, to);
    case DType::kFp16:
      for (const From value : values) {
        const std::uint16_t bits = HalfBits(static_cast<float>(value));
        std::memcpy(to, &bits, sizeof(bits));
        to += sizeof(bits);
      }
      return;
    default:
      MEZZO_CHECK(false);
  }
}

template <typename From>
tensor::Tensor Make(DType dtype, const tensor::Shape& shape, std::span<const From> values) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(values.size() * tensor::DTypeSize(dtype));
  WriteAs(values, dtype, buffer.data());
  return {.dtype = dtype, .shape = shape, .data = buffer.Share()};
}

}  // namespace

bool IsNumberType(DType dtype) {
  return dtype == DType::kFp16 || dtype == DType::kFp32 || dtype == DType::kFp64 || dtype == DType::kInt32 ||
         dtype == DType::kInt64;
}

tensor::Tensor MakeNumbers(DType dtype, const tensor::Shape& shape, std::span<const float> values) {
  return Make(dtype, shape, values);
}

tensor::Tensor MakeNumbers(DType dtype, const tensor::Shape& shape, std::span<const std::int64_t> values) {
  return Make(dtype, shape, values);
}

Result<void> ReadNumbers(const tensor::Tensor& tensor, std::span<float> to) {
  const std::size_t size = tensor::DTypeSize(tensor.dtype);
  const bool known = tensor.dtype == DType::kFp16 || tensor.dtype == DType::kFp32;
  if (!known || tensor.data.size() != to.size() * size) {
    return Internal("part_output", "a part of the pipeline gave " +
                                       std::string(tensor::DTypeName(tensor.dtype)) +
                                       tensor.shape.ToString() + "; " + std::to_string(to.size()) +
                                       " numbers of FP16 or FP32 are expected");
  }
  if (tensor.dtype == DType::kFp32) {
    std::memcpy(to.data(), tensor.data.data(), tensor.data.size());
    return {};
  }
  const std::byte* from = tensor.data.data();
  for (float& value : to) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, from, sizeof(bits));
    value = HalfValue(bits);
    from += sizeof(bits);
  }
  return {};
}

Result<std::vector<float>> ReadNumbers(const tensor::Tensor& tensor) {
  const std::size_t size = tensor::DTypeSize(tensor.dtype);
  std::vector<float> values(size == 0 ? 0 : tensor.data.size() / size);
  MEZZO_TRY_VOID(ReadNumbers(tensor, values));
  return values;
}

}  // namespace mezzo::generation::internal
