#pragma once

#include "model_config.pb.h"

#include "mezzo/base/result.h"
#include "mezzo/models/declared_config.h"
#include "mezzo/models/internal/proto_places.h"

namespace mezzo::models::internal {

/// Translates Triton's configuration; every feature Mezzo lacks is an error that names it.
/// `has_max_batch_size` is left to the caller, who knows whether the file gave it.
Result<DeclaredConfig> FromProto(const inference::ModelConfig& proto, const Place& place,
                                 bool has_max_batch_size);

/// The element type's name in Triton's configurations, and back; nothing for TYPE_INVALID.
inference::DataType ToProtoType(tensor::DType dtype);
std::optional<tensor::DType> FromProtoType(inference::DataType type);

}  // namespace mezzo::models::internal
