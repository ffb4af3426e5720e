#pragma once

#include "mezzo/base/fd.h"
#include "mezzo/base/result.h"

namespace mezzo::drivers {

/// The Python package mezzo_worker, as a zip file in memory that nobody can change. A process that has it as
/// a descriptor imports from it by /proc/self/fd. Fails with kUnavailable "worker_start".
Result<Fd> OpenWorkerPackage();

}  // namespace mezzo::drivers
