#pragma once

#include <string_view>

#include "mezzo/api/json_reader.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::api::v2http {

/// Reads the value of a "data" member: an array of elements, nested in any way, row-major. Elements are
/// counted against `shape` before memory is taken, and the bytes taken are subtracted from `budget`. Numbers
/// outside the type's range fail. All errors are kInvalidArgument and name the input.
Result<tensor::Tensor> ReadJsonTensor(JsonReader* reader, std::string_view name, tensor::DType dtype,
                                      const tensor::Shape& shape, ByteCount* budget);

/// The same where the number of elements is the array's own, or 1 for a value that is no array; for the
/// generate extension. `count` gets it.
Result<SharedBytes> ReadJsonElements(JsonReader* reader, std::string_view name, tensor::DType dtype,
                                     ByteCount* budget, std::uint64_t* count);

}  // namespace mezzo::api::v2http
