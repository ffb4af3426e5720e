#pragma once

#include <span>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/worker/internal/worker_desk.h"
#include "mezzo/drivers/worker/internal/worker_message.h"
#include "mezzo/engine/engine.h"

namespace mezzo::drivers {

/// Proves that what a worker says about its outputs can be true: `wanted` in order, each of its declared type
/// and shape, and with all its bytes aligned inside of a segment of `segment_bytes`. Looks at no byte of
/// them. Fails with kInternal "worker_protocol".
Result<void> CheckWorkerResult(const WorkerResult& result, std::span<const engine::TensorSpec> outputs,
                               std::span<const std::size_t> wanted, ByteCount segment_bytes);

/// The tensors of a checked answer. Large ones borrow the segment as long as its budget is less than half
/// taken; small ones, and BYTES (whose lengths a worker could change after they were checked), are copied.
/// Fails with kInternal "worker_protocol" when the elements of BYTES do not fit.
Result<std::vector<tensor::Tensor>> TakeTensors(const WorkerAnswer& answer, const SegmentBudget& budget);

}  // namespace mezzo::drivers
