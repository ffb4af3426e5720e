#include "mezzo/api/v2http/internal/config_text.h"

#include "mezzo/models/config_json.h"

namespace mezzo::api::v2http {

std::string ConfigText(const models::ModelConfig& config) { return models::ConfigToJson(config); }

}  // namespace mezzo::api::v2http
