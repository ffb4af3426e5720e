#pragma once

#include <string>
#include <string_view>

#include "mezzo/api/v2http/json_request.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/models/model_config.h"

namespace mezzo::api::v2http {

/// Triton's generate extension: members of the object (and of its "parameters") that are named like an input
/// become that input, a scalar or a flat array whose elements fill the input's shape: fixed dimensions first,
/// the rest goes to the innermost variable one. Other scalars become parameters. Errors are kInvalidArgument:
/// those of DecodeRequest(), and "generate_shape" when the elements don't fit.
Result<inference::InferenceCall> DecodeGenerate(const SharedBytes& body, std::string_view model,
                                                std::string_view version, const models::ModelConfig& config,
                                                const DecodeLimits& limits);

/// {"id":..,"model_name":..,"model_version":..,"<parameter>":..,"<output>":..}: outputs of one element
/// without brackets.
Result<std::string> EncodeGenerate(const inference::InferenceAnswer& answer);

}  // namespace mezzo::api::v2http
