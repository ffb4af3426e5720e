#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/app/cli/flow_spec.h"
#include "mezzo/app/cli/server_address.h"
#include "mezzo/app/cli/v2_client.h"
#include "mezzo/base/result.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::app::cli {

struct NamedInput {
  std::string name;
  tensor::Tensor tensor;
};

/// "1x32" → [1,32]; fails with "bad_shape".
Result<tensor::Shape> ParseShape(std::string_view text);

/// Inputs for a model from its signature. An input without a shape in the flow takes the one given to another
/// input of the same declared shape (the mask goes with the tokens); else its variable dimensions become 1.
/// Values are random in the flow's ranges (else 0 to 1 for reals, 0 to 99 for integers, both for booleans,
/// words for BYTES) or zero. The same seed makes the same inputs. Fails with "bad_flow" for shapes and ranges
/// that name no input, contradict the signature, exceed the type, or make a tensor of over 1 GiB.
Result<std::vector<NamedInput>> MakeInputs(const ModelSignature& signature, const FlowSpec& flow,
                                           std::uint64_t seed);

/// Inputs from JSON: {"inputs": [{"name", "datatype", "shape", "data"}, ...]}, data nested or flat.
/// Fails with "bad_input" naming `source` and the input.
Result<std::vector<NamedInput>> ParseInputs(std::string_view json, std::string_view source);

/// A JSON value (a number, a string, or lists of them) as a tensor. Without `shape` the nesting says it;
/// values must fit the type. Fails with "bad_input" naming `name`. FP16 and BF16 are rounded to nearest.
Result<tensor::Tensor> TensorFromJson(std::string_view name, tensor::DType dtype, const tensor::Shape* shape,
                                      std::string_view json);

/// The JSON list of a tensor's values, flat.
std::string ValuesAsJson(const tensor::Tensor& tensor);

/// What goes with every request of a flow.
struct RequestFrame {
  ServerAddress address;
  std::string key;  ///< Empty: none.
};

/// The whole HTTP request, head and body, for protocols http and http-json.
std::string HttpInferRequest(const RequestFrame& frame, const FlowSpec& flow,
                             const std::vector<NamedInput>& inputs);
/// The whole HTTP request of a raw flow.
std::string HttpRawRequest(const RequestFrame& frame, const FlowSpec& flow, std::string_view body);
/// A serialised inference.ModelInferRequest.
std::string GrpcInferRequest(const FlowSpec& flow, const std::vector<NamedInput>& inputs);

/// The body of a v2 request as binary or JSON tensors; `json_length` is set to the length of the JSON part
/// when binary.
std::string InferBody(const FlowSpec& flow, const std::vector<NamedInput>& inputs, std::size_t* json_length);

}  // namespace mezzo::app::cli
