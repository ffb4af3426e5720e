#pragma once

#include <string>
#include <vector>

#include "mezzo/api/v2http/json_request.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/models/model_config.h"

namespace mezzo::api::v2http {

/// A response body: the JSON, then the binary outputs in order.
struct EncodedResponse {
  std::string json;
  std::vector<SharedBytes> pieces;  ///< The engine's own memory. Empty outputs leave none.
};

/// Encodes an answer in the forms that `plan` asks for, and writes outputs that belong into shared memory
/// there. `config` is the answering model's: needed for classification only, may be null otherwise.
///
/// Floats are the shortest text that reads back the same; not-a-number and infinities are NaN, Infinity and
/// -Infinity as in Triton. Fails with kInvalidArgument "output_half" (FP16 and BF16 have no JSON form),
/// "output_not_utf8", and those of Classify() and of SharedMemoryWindow::Write(). The answer's tensors must
/// be sound.
Result<EncodedResponse> EncodeResponse(const inference::InferenceAnswer& answer, const ResponsePlan& plan,
                                       const models::ModelConfig* config);

/// The elements of a checked tensor as a JSON array, or without brackets when `bare`. `name` is for errors.
Result<void> AppendJsonElements(std::string_view name, const tensor::Tensor& tensor, bool bare,
                                std::string* out);

/// {"a":1,...}
void AppendJsonParameters(const inference::Parameters& parameters, std::string* out);
void AppendJsonParameter(const inference::ParameterValue& value, std::string* out);

}  // namespace mezzo::api::v2http
