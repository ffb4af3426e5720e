#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/inference/version_runtime.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/trace.h"
#include "mezzo/sched/device_executor.h"

namespace mezzo::inference {

/// Gives each loaded version its place in the device's scheduler. Thread-safe.
class RuntimeBinder final : public models::VersionBinder {
 public:
  /// Everything outlives the binder and the versions it bound.
  RuntimeBinder(sched::DeviceExecutor& executor, InferenceMetrics& metrics, const Clock& clock,
                std::size_t default_max_queued)
      : executor_(executor), metrics_(metrics), clock_(clock), default_max_queued_(default_max_queued) {}

  Result<std::unique_ptr<models::VersionExtension>> Bind(const models::ModelVersion& version) override;

 private:
  sched::DeviceExecutor& executor_;
  InferenceMetrics& metrics_;
  const Clock& clock_;
  const std::size_t default_max_queued_;
};

/// The path of a call on this host. Versions must have been bound by a RuntimeBinder. Thread-safe; Infer()
/// runs on the loop it was started on.
class LocalService final : public Service {
 public:
  LocalService(models::Catalog& catalog, sched::DeviceExecutor& executor, const observe::Tracer& tracer,
               const Clock& clock)
      : catalog_(catalog), executor_(executor), tracer_(tracer), clock_(clock) {}

  runtime::Task<Result<InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                               InferenceCall call) override;
  Result<std::vector<ModelStatistics>> Statistics(std::string_view model, std::string_view version) override;
  void RecordEdges(const InferenceAnswer& answer, Duration admit, Duration encode) override;
  [[nodiscard]] models::Catalog& catalog() override { return catalog_; }

 private:
  runtime::Task<Result<models::VersionRef>> FindVersion(runtime::Context ctx, ModelName model,
                                                        std::string version);
  runtime::Task<Result<InferenceAnswer>> RunOn(runtime::Context ctx, tenancy::TenantRef tenant,
                                               models::VersionRef version, InferenceCall call,
                                               TimePoint started);
  void FinishSpan(std::unique_ptr<observe::Span> span, const runtime::Context& ctx,
                  const models::ModelVersion& version, const tenancy::Tenant& tenant,
                  const Result<InferenceAnswer>& answer) const;

  models::Catalog& catalog_;
  sched::DeviceExecutor& executor_;
  const observe::Tracer& tracer_;
  const Clock& clock_;
};

}  // namespace mezzo::inference
