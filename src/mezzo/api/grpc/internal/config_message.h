#pragma once

namespace inference {
class ModelConfig;
}
namespace mezzo::models {
struct ModelConfig;
}

namespace mezzo::api::rpc {

/// models::ConfigToProto, whose header can't be included beside those of mezzo::inference: it says
/// `inference` for the protocol's namespace.
void FillConfig(const models::ModelConfig& config, ::inference::ModelConfig* out);

}  // namespace mezzo::api::rpc
