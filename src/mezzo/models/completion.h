#pragma once

#include <cstdint>

#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/models/declared_config.h"
#include "mezzo/models/model_config.h"

namespace mezzo::models {

/// True when every input and output has a variable first dimension and those that have a symbolic name have
/// the same one: such a model takes several requests in one run.
bool IsBatchable(const engine::SessionFacts& facts);
/// The same of a pipeline's part: numbers among the inputs do not count, and symbols may differ.
bool IsBatchablePart(const engine::SessionFacts& facts);

/// The configuration a loaded model is served with: what was declared, checked against the model, and
/// completed by what the model declares. Without a declared max_batch_size a batchable model gets
/// `default_max_batch`.
///
/// Fails with kInvalidArgument "model_config_mismatch", naming what the configuration and what the model
/// says.
Result<ModelConfig> CompleteConfig(const DeclaredConfig& declared, const engine::SessionFacts& facts,
                                   std::int64_t default_max_batch);

}  // namespace mezzo::models
