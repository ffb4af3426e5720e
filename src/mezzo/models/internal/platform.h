#pragma once

#include "mezzo/models/model_config.h"
#include "mezzo/models/repository.h"

namespace mezzo::models::internal {

/// Decides what runs a model that does not say so: an upstream, when its configuration names one; else by the
/// files of its newest version: model.onnx, model.py, or a Diffusers pipeline's model_index.json. Fills in
/// `config.platform` and `config.file`. A Python or remote model without version folders is its own version
/// 1. Blocks on the disk.
///
/// Models of `foreign` folders, whose files came with a request, are never run as code or elsewhere: they are
/// ONNX models.
void CompletePlatform(ModelConfig& config, ModelFolder& folder, bool foreign);

}  // namespace mezzo::models::internal
