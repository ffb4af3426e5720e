#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::api {

/// Triton's classification extension: turns a numeric output into the `top` largest elements of each row, as
/// a BYTES tensor of "value:index" or "value:index:label". With `batched` every index of dimension 0 is a
/// row, otherwise the whole tensor is one. Labels beyond the end of `labels` are left out. Not-a-numbers come
/// last; equal values in the order of their indices.
///
/// `output` must be a checked tensor. Fails with kInvalidArgument "classification_type" or
/// "classification_size" (more than 1,000,000 elements in a row).
Result<tensor::Tensor> Classify(std::string_view name, const tensor::Tensor& output, std::int64_t top,
                                bool batched, const std::vector<std::string>& labels);

}  // namespace mezzo::api
