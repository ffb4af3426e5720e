#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::inference {

/// Outputs as bytes that other hosts and later builds read: "MZA1"; then, all integers little-endian, their
/// number (32 bits), and for each: the name's length (32) and bytes, the element type's protocol name in the
/// same way, the rank (32), the dimensions (64 each), the data's length (64) and bytes.
std::string EncodeOutputs(const std::vector<NamedTensor>& outputs);

/// Fails with kInternal "answer_text" for anything that EncodeOutputs() does not write; every tensor returned
/// is checked against its shape.
Result<std::vector<NamedTensor>> DecodeOutputs(std::string_view text);

}  // namespace mezzo::inference
