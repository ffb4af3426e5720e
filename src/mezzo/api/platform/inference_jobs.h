#pragma once

#include <string>

#include "mezzo/inference/service.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::api::platform {

/// Jobs of kind "inference": any served model, asked later and with retries. The input is the JSON of a v2
/// inference request (without shared memory), the result that of the response. Thread-safe.
class InferenceJobs final : public jobs::JobHandler {
 public:
  /// All outlive the handler. `loop` carries the calls, which wait there without a thread.
  struct Ports {
    inference::Service& service;
    const tenancy::Directory& directory;
    runtime::Loop& loop;
  };
  explicit InferenceJobs(Ports ports) : ports_(ports) {}

  /// Errors: "job_request", kNotFound "model_unknown", and those of decoding a v2 request.
  Result<jobs::JobEstimate> Check(const TenantId& tenant, const std::string& request) override;
  Result<std::string> Run(jobs::JobRun& run) override;

 private:
  [[nodiscard]] double CostOf(const std::string& model, const std::string& version) const;

  const Ports ports_;
};

}  // namespace mezzo::api::platform
