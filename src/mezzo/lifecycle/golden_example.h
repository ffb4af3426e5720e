#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/tensor_compare.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::lifecycle {

struct GoldenInput {
  std::string name;
  tensor::Tensor tensor;
};
struct GoldenOutput {
  std::string name;
  tensor::Tensor tensor;
  CompareRule rule;
};

/// Inputs and the outputs that a version must make of them: golden/NAME.json in the version's folder.
///
///     {"inputs":  [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
///      "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "file": "y.bin",
///                   "compare": {"rule": "cosine", "at_least": 0.99}}],
///      "compare": {"rule": "tolerance", "absolute": 1e-5, "relative": 1e-4}, "part": "unet"}
///
/// Tensors are as in the v2 protocol; data may nest or be flat, and "file" names raw little-endian bytes
/// beside the JSON instead. What an answer of the server has besides (id, model_name, model_version,
/// parameters) is not looked at, any other member is an error. Rules: "exact" (the default for integers,
/// booleans and texts), "tolerance" (for reals), "cosine", "ssim" with "at_least", "range", "layout" ("nchw",
/// "nhwc").
struct GoldenExample {
  static constexpr std::size_t kMaxExamples = 64;
  static constexpr std::size_t kMaxJson = std::size_t{16} << 20U;
  static constexpr std::size_t kMaxFile = std::size_t{256} << 20U;

  std::string name;  ///< Of the file, without ".json".
  std::string part;  ///< Of a pipeline; else empty.
  std::vector<GoldenInput> inputs;
  std::vector<GoldenOutput> outputs;
};

/// Reads one example; `read_file` brings the bytes of a "file". Fails with kInvalidArgument "golden_invalid",
/// naming the example, and the errors of `read_file`.
Result<GoldenExample> ParseGoldenExample(
    std::string_view name, std::string_view json,
    const std::function<Result<std::string>(const std::string&)>& read_file);

/// Those of a version, by name; none when it has no folder "golden". Never through symbolic links. Fails with
/// kInvalidArgument "golden_invalid", also for too many or too large ones. Blocks.
Result<std::vector<GoldenExample>> ReadGoldenExamples(const std::string& version_folder);

}  // namespace mezzo::lifecycle
