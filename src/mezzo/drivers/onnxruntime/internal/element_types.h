#pragma once

#include <onnxruntime_c_api.h>

#include <optional>
#include <string>

#include "mezzo/tensor/dtype.h"

namespace mezzo::drivers {

/// The library's name of a protocol type; all have one.
ONNXTensorElementDataType ToOrtType(tensor::DType dtype);
/// The protocol's name of a library type, or nothing: complex, 8-bit floats, 4- and 2-bit integers.
std::optional<tensor::DType> FromOrtType(ONNXTensorElementDataType type);
/// For messages: "float8e4m3fn".
std::string OrtTypeName(ONNXTensorElementDataType type);

}  // namespace mezzo::drivers
