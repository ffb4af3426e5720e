#pragma once

#include <string>

#include "mezzo/models/model_config.h"

namespace inference {
class ModelConfig;  // schema/proto/model_config.proto, library mezzo_proto_model_config.
}

namespace mezzo::models {

/// Triton's model configuration as its clients read it at /v2/models/x/config: Triton's field names, every
/// field present, 64-bit numbers as numbers.
std::string ConfigToJson(const ModelConfig& config);

/// The same as a message, for ModelConfig over gRPC. `out` is cleared first.
void ConfigToProto(const ModelConfig& config, ::inference::ModelConfig& out);

}  // namespace mezzo::models
