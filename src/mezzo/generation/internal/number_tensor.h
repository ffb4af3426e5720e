#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::generation::internal {

/// True for the types below, which the networks of a pipeline use.
bool IsNumberType(tensor::DType dtype);

/// A tensor of `dtype` (FP16, FP32, FP64, INT32 or INT64). Whole types drop the fraction, as NumPy's astype()
/// does. `values` has as many numbers as `shape`.
tensor::Tensor MakeNumbers(tensor::DType dtype, const tensor::Shape& shape, std::span<const float> values);
tensor::Tensor MakeNumbers(tensor::DType dtype, const tensor::Shape& shape,
                           std::span<const std::int64_t> values);

/// Reads the tensor's numbers (FP16 or FP32) to `to`. Fails with kInternal "part_output" when the type is
/// another one or the count differs.
Result<void> ReadNumbers(const tensor::Tensor& tensor, std::span<float> to);
Result<std::vector<float>> ReadNumbers(const tensor::Tensor& tensor);

}  // namespace mezzo::generation::internal
