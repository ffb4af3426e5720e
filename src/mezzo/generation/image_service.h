#pragma once

#include <atomic>
#include <cstddef>
#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/generation/pipeline_store.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::generation {

/// Makes pictures on this host, natively: every text encoding, every denoising step and every decoding is a
/// work item of the device's scheduler, so requests share batches whatever their prompts, seeds, guidance and
/// progress are, and join and leave between steps. Thread-safe.
class ImageService {
 public:
  struct Options {
    ImageLimits limits;
    std::size_t max_requests = 256;  ///< At once; more are refused with "too_many_images".
  };
  /// All outlive the service. `pool` reads files, tokenizes and draws noise. The executor has the tenants'
  /// indices, and the catalog's versions are bound to it by an inference::RuntimeBinder.
  struct Ports {
    models::Catalog& catalog;
    sched::DeviceExecutor& executor;
    runtime::BlockingPool& pool;
    const Clock& clock;
    tenancy::Ledger* ledger = nullptr;  ///< Charged with the device time; null: nothing is charged.
  };
  ImageService(Options options, Ports ports)
      : options_(options), ports_(ports), store_(ports.catalog, ports.pool) {}

  /// Whose work it is, and how urgent.
  struct Caller {
    tenancy::TenantRef tenant;
    sched::Class cls = sched::Class::kStandard;
    ProjectId project;  ///< Charged, with the key; empty: none.
    KeyId key;
    bool charged = true;  ///< False: a copy that nobody has asked for.
  };

  /// Makes the pictures of a request by the pipeline `model` (`version` empty: the newest). The context's
  /// deadline and cancellation hold all the way: no step begins after either. `observer` may be null and
  /// lives until the end. On a loop's thread.
  ///
  /// Errors: those of CheckRequest(), PipelineStore::Open() and DeviceExecutor::Submit();
  /// kUnavailable "too_many_images"; kInvalidArgument "image_request" for what the pipeline can't make;
  /// kDeadlineExceeded "deadline"; kCancelled "cancelled".
  runtime::Task<Result<ImageResult>> Generate(runtime::Context ctx, Caller caller, ModelName model,
                                              std::string version, ImageRequest request,
                                              ImageObserver* observer);
  /// The same by a pipeline that is open.
  runtime::Task<Result<ImageResult>> GenerateBy(runtime::Context ctx, Caller caller, PipelineRef pipeline,
                                                ImageRequest request, ImageObserver* observer);

  /// What is wrong with a request before it is queued, without waiting for anything: that of CheckRequest(),
  /// kNotFound "model_unknown", and what the pipeline can't make if it is in memory.
  Result<void> Check(const ModelName& model, const std::string& version, const ImageRequest& request);
  /// Device time that the request will take, as far as known: by the latency models of the parts when they
  /// are loaded, else by pixels and steps.
  [[nodiscard]] Duration PredictCost(const ModelName& model, const std::string& version,
                                     const ImageRequest& request);

  [[nodiscard]] const ImageLimits& limits() const { return options_.limits; }
  [[nodiscard]] std::size_t requests() const { return requests_.load(std::memory_order_relaxed); }

 private:
  const Options options_;
  const Ports ports_;
  PipelineStore store_;
  std::atomic<std::size_t> requests_ = 0;  // A count with a limit; no partner.
};

}  // namespace mezzo::generation
