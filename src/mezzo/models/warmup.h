#pragma once

#include <optional>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/models/catalog.h"
#include "mezzo/models/model_config.h"

namespace mezzo::models {

/// Runs the configured warm-ups, or the automatic ones when every shape is known and the inputs take at most
/// `max_automatic_bytes`. The automatic ones are timed. Fails with the run's code and "warmup_failed".
/// Blocks.
Result<std::optional<RunTiming>> WarmUp(engine::Session& session, const ModelConfig& config,
                                        ByteCount max_automatic_bytes, const Clock& clock);

/// Runs the model once on inputs of our own making, to tell a broken model from a caller's unsuitable values:
/// one row of zeros ("0" for strings; dimensions left open are 1), or the first configured warm-up. Inputs
/// take at most `max_bytes`. True when it ran; `why`, which may be null, gets the error of a run that failed.
/// Blocks.
bool RunsOnSample(engine::Session& session, const ModelConfig& config, ByteCount max_bytes,
                  engine::RunControl* control, std::optional<Error>* why = nullptr);

}  // namespace mezzo::models
