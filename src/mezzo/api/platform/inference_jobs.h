#pragma once

#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/storage/blob_store.h"
#include "mezzo/tenancy/directory.h"

namespace mezzo::api::platform {

/// Jobs of kind "inference": any served model, asked later and with retries. The input is the JSON of a v2
/// inference request (without shared memory), the result that of the response. A response that is too long
/// for the queue's table is an artifact "result.json" of the attempt, and the result {"artifact": key,
/// "content_type", "bytes"}. Thread-safe.
class InferenceJobs final : public jobs::JobHandler {
 public:
  struct Options {
    ByteCount max_result = ByteCount{256} << 10;        ///< Longer ones become artifacts.
    Duration store_timeout = std::chrono::seconds(60);  ///< Of writing one.
  };
  /// All outlive the handler. `loop` carries the calls, which wait there without a thread.
  struct Ports {
    inference::Service& service;
    const tenancy::Directory& directory;
    storage::BlobStore& artifacts;
    runtime::Loop& loop;
    const Clock& clock;
  };
  InferenceJobs(Options options, Ports ports) : options_(options), ports_(ports) {}

  /// Errors: "job_request", kNotFound "model_unknown", and those of decoding a v2 request.
  Result<jobs::JobEstimate> Check(const TenantId& tenant, const std::string& request) override;
  /// Errors besides: the model's and the store's.
  Result<std::string> Run(jobs::JobRun& run) override;

 private:
  [[nodiscard]] double CostOf(const std::string& model, const std::string& version) const;
  [[nodiscard]] Result<std::string> KeepResult(const jobs::LeasedJob& job, const std::string& result) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::platform
