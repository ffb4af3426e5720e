#pragma once

#include <span>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/internal/image_plan.h"
#include "mezzo/generation/pipeline.h"
#include "mezzo/inference/inference_call.h"

namespace mezzo::generation::internal {

/// The run of one text encoder for a request, and what its states need afterwards.
struct PromptCall {
  inference::InferenceCall call;    ///< Rows: the negative prompt first when there are two, then the prompt.
  std::vector<std::size_t> tokens;  ///< By row: without padding.
  bool pooled = false;              ///< The last output is the pooled state.
};

/// What the denoising network is told besides latents and timestep: named inputs of one or two rows. Shared
/// by all pictures and steps of a request.
using Conditions = std::vector<inference::NamedTensor>;

/// The call of text encoder number `index`. Fails with "prompt_not_utf8".
Result<PromptCall> MakePromptCall(const Pipeline& pipeline, std::size_t index, const ImageRequest& request,
                                  const ImagePlan& plan);

/// Conditions from what the text encoders gave, in their order, each with the outputs that its call named.
/// Fails with kInternal "part_output" for outputs of unexpected shape or type.
Result<Conditions> MakeConditions(const Pipeline& pipeline, const ImageRequest& request,
                                  const ImagePlan& plan, std::span<const PromptCall> calls,
                                  std::span<const std::vector<tensor::Tensor>> outputs);

}  // namespace mezzo::generation::internal
