#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/inference/answer_cache.h"
#include "mezzo/inference/call_sampler.h"
#include "mezzo/inference/runtime_item.h"
#include "mezzo/inference/service.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::inference {

/// The metric families of the call path; series are leased by each loaded version.
struct InferenceMetrics {
  explicit InferenceMetrics(observe::Registry& registry);
  observe::Family<observe::Counter>& requests;          ///< model, version, tenant, outcome
  observe::Family<observe::Histogram>& request_time;    ///< model, version, tenant
  observe::Family<observe::Histogram>& stage_time;      ///< model, version, stage
  observe::Family<observe::SizeHistogram>& batch_rows;  ///< model, version
  observe::Family<observe::Counter>& refused;           ///< model, reason
  observe::CallbackFamily& queued;                      ///< model, version: calls that wait
  observe::CallbackFamily& device_time;                 ///< model, version: seconds on the device
  observe::CallbackFamily&
      predicted_time;  ///< model, version: what the latency model expected of the same batches
};

/// A loaded version's place in the device's scheduler: gathers its batches, runs them, scatters the answers,
/// counts. Thread-safe.
class VersionRuntime final : public models::VersionExtension, public sched::BatchRunner {
 public:
  /// What a version may do without.
  struct Extras {
    std::unique_ptr<const CachePlace> place;  ///< Null: not cached.
    tenancy::Ledger* ledger = nullptr;        ///< Null: nothing is charged. Outlives the version.
    std::unique_ptr<CallSampler> sampler;     ///< Null: nobody looks at its calls.
  };
  VersionRuntime(const models::ModelVersion& version, sched::DeviceExecutor& executor,
                 InferenceMetrics& metrics, const Clock& clock, std::size_t default_max_queued,
                 Extras extras);
  ~VersionRuntime() override;

  /// Of a version that a RuntimeBinder has bound.
  [[nodiscard]] static VersionRuntime& Of(const models::ModelVersion& version) {
    return static_cast<VersionRuntime&>(*version.extension);
  }
  [[nodiscard]] sched::ModelIndex model() const { return model_; }
  /// Null: not cached.
  [[nodiscard]] const CachePlace* place() const { return place_.get(); }
  /// Null: nobody looks at its calls.
  [[nodiscard]] CallSampler* sampler() const { return sampler_.get(); }

  sched::RunOutcome Run(const sched::Batch& batch, std::uint32_t slot) override;
  void Stop(std::uint32_t slot) override;

  void RecordSuccess(const tenancy::Tenant& tenant, const RuntimeItem& item, Duration total) EXCLUDES(mu_);
  void RecordFailure(const tenancy::Tenant& tenant, const Error& error, Duration total) EXCLUDES(mu_);
  /// A call that was answered without a run of its own.
  void RecordCached(const tenancy::Tenant& tenant, Duration total) EXCLUDES(mu_);
  /// A run whose answer was offered to the cache.
  void RecordMiss(Duration run) EXCLUDES(mu_);
  void RecordEdges(Duration admit, Duration encode) {
    stages_.admit->Observe(admit);
    stages_.encode->Observe(encode);
  }
  /// Of whoever calls; lives as long as the ledger. `kind` is a literal. Null without a ledger.
  [[nodiscard]] tenancy::Account* AccountOf(const tenancy::Caller& caller, std::string_view kind);
  /// Calls that may wait.
  [[nodiscard]] std::size_t max_queued() const { return max_queued_; }
  [[nodiscard]] ModelStatistics Statistics() const EXCLUDES(mu_);

 private:
  struct TenantSeries {
    observe::Series<observe::Counter> success;
    observe::Series<observe::Counter> failure;
    observe::Series<observe::Histogram> time;
  };
  struct Stages {
    observe::Series<observe::Histogram> admit, queue, gather, run, scatter, encode;
  };

  /// Whose fault `error` is: the model's when it fails on inputs of our own as well.
  [[nodiscard]] sched::RunOutcome Blame(const Error& error, std::uint32_t slot) EXCLUDES(mu_);
  /// Runs the items as one batch; false with `error` set when the engine refused or failed.
  bool RunTogether(std::span<sched::WorkItem* const> items, std::uint32_t slot, std::optional<Error>& error)
      EXCLUDES(mu_);
  void Scatter(std::span<sched::WorkItem* const> items, std::span<const std::size_t> computed,
               std::vector<tensor::Tensor>& outputs) const;
  tensor::Tensor RowsOf(const tensor::Tensor& output, std::size_t index, const RuntimeItem& item,
                        std::int64_t first) const;
  engine::RunControl* ControlFor(std::uint32_t slot) EXCLUDES(mu_);
  TenantSeries& SeriesFor(const tenancy::Tenant& tenant) REQUIRES(mu_);
  void CountBatch(std::uint32_t rows, Duration gather, Duration run, Duration scatter) EXCLUDES(mu_);

  const models::ModelVersion& version_;
  sched::DeviceExecutor& executor_;
  InferenceMetrics& metrics_;
  const Clock& clock_;
  const std::unique_ptr<const CachePlace> place_;
  const std::unique_ptr<CallSampler> sampler_;
  Stages stages_;
  observe::Series<observe::SizeHistogram> batch_rows_;

  mutable Mutex mu_;
  std::vector<std::unique_ptr<engine::RunControl>> controls_ GUARDED_BY(mu_);  // By slot.
  std::vector<std::unique_ptr<TenantSeries>> tenants_ GUARDED_BY(mu_);         // By tenant index.
  ModelStatistics statistics_ GUARDED_BY(mu_);
  tenancy::Ledger* const ledger_;  // May be null.
  /// Accounts found before, by tenant's and key's index, project and kind: as many as there are callers. Each
  /// stripe is for some of the threads.
  struct alignas(64) AccountStripe {
    Mutex mu;
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::string, std::string>, tenancy::Account*,
             std::less<>>
        accounts GUARDED_BY(mu);
  };
  static constexpr std::size_t kAccountStripes = 4;
  std::array<AccountStripe, kAccountStripes> accounts_;
  std::size_t max_queued_ = 1;
  sched::ModelIndex model_;
  std::vector<observe::Callback> callbacks_;  // Last: they read the model's place in the scheduler.
};

}  // namespace mezzo::inference
