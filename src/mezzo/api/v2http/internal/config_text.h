#pragma once

#include <string>

#include "mezzo/models/model_config.h"

namespace mezzo::api::v2http {

/// models::ConfigToJson() behind a header of its own: that one names the protobuf package `inference`, which
/// it can't once this project's namespace of the same name is in sight.
std::string ConfigText(const models::ModelConfig& config);

}  // namespace mezzo::api::v2http
