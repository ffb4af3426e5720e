#pragma once

#include <span>
#include <string>
#include <vector>

#include "mezzo/tensor/tensor.h"

namespace mezzo::inference {

/// Joins the parts along dimension 0. Where the other dimensions differ (ragged batches of models that pad),
/// every part is padded at its end with zeros to the largest. All parts must be checked and of equal rank and
/// type. BYTES tensors that differ cannot be padded with zeros and get empty strings.
tensor::Tensor GatherRows(std::span<const tensor::Tensor* const> parts);

/// Cuts `tensor` to `dims` (each at most its own), keeping the beginning of every dimension: what GatherRows
/// padded.
tensor::Tensor CropTo(const tensor::Tensor& tensor, const tensor::Shape& dims);

}  // namespace mezzo::inference
