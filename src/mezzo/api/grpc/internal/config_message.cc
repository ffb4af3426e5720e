#include "mezzo/api/grpc/internal/config_message.h"

#include "mezzo/models/config_json.h"

namespace mezzo::api::rpc {

void FillConfig(const models::ModelConfig& config, ::inference::ModelConfig* out) {
  models::ConfigToProto(config, *out);
}

}  // namespace mezzo::api::rpc
