#pragma once

#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::api::rpc {

/// Whose contents are decoded, for messages, and how much memory they may take.
struct ContentsOf {
  std::string_view input;
  std::string_view model;
  ByteCount budget = 0;
};

/// Decodes a serialised inference.InferTensorContents into the bytes of a tensor of this type and shape.
/// Values beyond the type's range are refused, not cut. Fails with kInvalidArgument "contents_type",
/// "contents_value", "tensor_size", "data_too_large", "protobuf_malformed" and those of tensor::ByteSize.
Result<SharedBytes> DecodeContents(BytesView contents, tensor::DType dtype, const tensor::Shape& shape,
                                   const ContentsOf& whose);

}  // namespace mezzo::api::rpc
