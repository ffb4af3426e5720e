#pragma once

#include <cstdint>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/inference/inference_call.h"
#include "mezzo/models/catalog.h"
#include "mezzo/sched/work_item.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::inference {

/// A call checked against the model it goes to, in the order the session wants it.
struct RequestPlan {
  std::vector<const tensor::Tensor*> inputs;  ///< By session input; null where an optional one is absent.
  std::vector<std::size_t> wanted;            ///< Session outputs in the order of the answer.
  std::uint32_t rows = 1;
  std::uint64_t batch_key = 0;
};

/// Checks names, types, shapes, sizes and the batch size. The plan points into `call`, which must outlive it.
/// Errors say what Triton says, and name the input, what came and what was expected: "input_missing",
/// "input_unexpected", "input_type", "input_shape", "batch_size", "output_unexpected", and those of
/// CheckTensor.
Result<RequestPlan> PlanRequest(const models::ModelVersion& version, const InferenceCall& call);

/// The class a call runs in: its priority, mapped by the model's levels, or the model's class; the next lower
/// one that the tenant may use. A priority above what the tenant may use is kPermissionDenied
/// "class_not_allowed".
Result<sched::Class> ChooseClass(const models::ModelConfig& config, std::uint64_t priority,
                                 const tenancy::Tenant& tenant);

}  // namespace mezzo::inference
