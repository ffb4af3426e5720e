#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/inference/answer_cache.h"
#include "mezzo/inference/request_plan.h"
#include "mezzo/inference/service.h"
#include "mezzo/inference/version_runtime.h"
#include "mezzo/models/catalog.h"
#include "mezzo/observe/trace.h"
#include "mezzo/releases/router.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/sched/device_executor.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::inference {

/// Gives each loaded version its place in the device's scheduler. Thread-safe.
class RuntimeBinder final : public models::VersionBinder {
 public:
  /// What a binder may do without; all outlive the versions it bound.
  struct Extras {
    AnswerCache* answers = nullptr;     ///< Null: nothing is cached.
    tenancy::Ledger* ledger = nullptr;  ///< Is charged with what the versions do; null: nothing is charged.
    CallSamplers* samplers = nullptr;   ///< Look at calls; null: nobody does.
  };
  /// Everything outlives the binder and the versions it bound.
  RuntimeBinder(sched::DeviceExecutor& executor, InferenceMetrics& metrics, const Clock& clock,
                std::size_t default_max_queued, Extras extras)
      : executor_(executor),
        metrics_(metrics),
        clock_(clock),
        default_max_queued_(default_max_queued),
        extras_(extras) {}
  RuntimeBinder(sched::DeviceExecutor& executor, InferenceMetrics& metrics, const Clock& clock,
                std::size_t default_max_queued)
      : RuntimeBinder(executor, metrics, clock, default_max_queued, Extras()) {}

  Result<std::unique_ptr<models::VersionExtension>> Bind(const models::ModelVersion& version) override;
  void Withdrawn(const std::string& model, std::int64_t version) override {
    if (extras_.answers != nullptr) extras_.answers->Withdrawn(model, version);
  }

 private:
  sched::DeviceExecutor& executor_;
  InferenceMetrics& metrics_;
  const Clock& clock_;
  const std::size_t default_max_queued_;
  const Extras extras_;
};

/// The path of a call on this host. Versions must have been bound by a RuntimeBinder. Thread-safe; Infer()
/// runs on the loop it was started on.
class LocalService final : public Service {
 public:
  /// What a service may do without; all outlive it.
  struct Extras {
    tenancy::Limiter* limiter = nullptr;  ///< Null: no limits.
    AnswerCache* answers = nullptr;       ///< Null: nothing is cached.
    /// Computes cached answers anew, runs trials beside the calls that may have to go elsewhere, and shadows;
    /// with `answers` or `routes`.
    runtime::Scope* background = nullptr;
    const releases::Router* routes = nullptr;      ///< Null: a model's newest version answers.
    runtime::BlockingPool* pool = nullptr;         ///< Compares what shadows answer; null: the loop does.
    ByteCount shadow_bytes = ByteCount{64} << 20;  ///< Of tensors kept for shadows in flight.
  };
  LocalService(models::Catalog& catalog, sched::DeviceExecutor& executor, const observe::Tracer& tracer,
               const Clock& clock, Extras extras)
      : catalog_(catalog), executor_(executor), tracer_(tracer), clock_(clock), extras_(extras) {}
  LocalService(models::Catalog& catalog, sched::DeviceExecutor& executor, const observe::Tracer& tracer,
               const Clock& clock)
      : LocalService(catalog, executor, tracer, clock, Extras()) {}

  /// Not a coroutine: the arguments go to the one that fits.
  runtime::Task<Result<InferenceAnswer>> Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                               InferenceCall call) override;
  [[nodiscard]] VersionPick PickVersion(const tenancy::Caller& caller, std::string_view model,
                                        const releases::HeaderLookup& headers) override;
  [[nodiscard]] std::string VersionToReadBy(std::string_view model) override;
  Result<std::vector<ModelStatistics>> Statistics(std::string_view model, std::string_view version) override;
  void RecordEdges(const InferenceAnswer& answer, Duration admit, Duration encode) override;
  [[nodiscard]] models::Catalog& catalog() override { return catalog_; }

 private:
  runtime::Task<Result<models::VersionRef>> FindVersion(runtime::Context ctx, ModelName model,
                                                        std::string version);
  /// What a run has used, for whoever decides whether it is charged.
  struct Bill {
    tenancy::Account* account = nullptr;  ///< Null: nothing is charged.
    tenancy::Usage usage;
  };
  /// How a call is run on its version.
  struct Terms {
    tenancy::LimitTicket* admitted = nullptr;  ///< It has been admitted, with this; outlives the run.
    Bill* bill = nullptr;  ///< What it uses is written there, and nothing is charged; outlives the run.
    bool shadow = false;   ///< For nobody: in the lowest class, never limited, charged, kept or joined.
  };
  /// A call whose version is decided.
  runtime::Task<Result<InferenceAnswer>> InferOn(runtime::Context ctx, tenancy::CallerRef caller,
                                                 InferenceCall call, Terms terms);

  // routed_calls.cc
  struct ArmRun;
  struct ShadowRun;
  /// A call that the model's route decides about.
  runtime::Task<Result<InferenceAnswer>> InferRouted(runtime::Context ctx, tenancy::CallerRef caller,
                                                     InferenceCall call, releases::LiveRouteRef route);
  /// On an arm that is not the stable version's; what fails there or is late is answered by the stable one.
  runtime::Task<Result<InferenceAnswer>> Try(runtime::Context ctx, tenancy::CallerRef caller,
                                             InferenceCall call, releases::LiveRouteRef route,
                                             releases::LiveRoute::Pick pick);
  /// The trial's run, and from `hedge_at` on one on the stable version: until one has answered or both have
  /// failed. `second` stays null when the trial was in time.
  runtime::Task<Result<void>> Race(runtime::Context ctx, std::shared_ptr<ArmRun> first,
                                   std::shared_ptr<ArmRun>* second, std::string stable, TimePoint hedge_at);
  bool Spawn(const std::shared_ptr<ArmRun>& run);
  runtime::Task<Result<void>> RunArm(runtime::Context ctx, std::shared_ptr<ArmRun> run);
  /// Charges what the run has used, once.
  static void Pay(Bill& bill, tenancy::LimitTicket& ticket);
  /// Loads a version in the background, so that a later call finds it.
  void WarmUp(const ModelName& model, const std::string& version);
  void StartShadows(const releases::LiveRouteRef& route, std::uint64_t random,
                    const tenancy::CallerRef& caller, const InferenceCall& call,
                    const InferenceAnswer& answer);
  runtime::Task<Result<void>> RunShadow(runtime::Context ctx, std::shared_ptr<ShadowRun> run);

  /// One call on its way through the service. Lives in InferOn()'s frame, and what it refers to does too.
  struct Visit {
    const runtime::Context& ctx;
    const tenancy::CallerRef& caller;
    const models::VersionRef& version;
    InferenceCall& call;
    const RequestPlan& plan;
    tenancy::LimitTicket& ticket;
    tenancy::Account* account = nullptr;  ///< Is charged; null: nothing is.
    TimePoint started;
    bool limited = true;   ///< By the limits on queues.
    Bill* bill = nullptr;  ///< Takes what would be charged; null: `account` is.
    bool shadow = false;   ///< As Terms::shadow.
  };
  static void Charge(const Visit& visit, const tenancy::Usage& usage);
  /// By the limits of the caller; an empty ticket when there are none.
  Result<tenancy::LimitTicket> Admit(const tenancy::Caller& caller, const InferenceCall& call,
                                     sched::ModelIndex model, std::uint32_t rows, TimePoint now);
  /// A place in the queue of the visit's model; an empty ticket when no limit is about that.
  Result<tenancy::LimitTicket> AdmitToQueue(const Visit& visit);
  /// Of a version of a model that is cached: a kept answer, one in flight, or a run of its own.
  runtime::Task<Result<InferenceAnswer>> RunCached(Visit visit);
  /// Of a call that leads its flight: another host's answer, or a run for this host or for all.
  runtime::Task<Result<InferenceAnswer>> Lead(Visit visit, cache::ResultCache::Ticket ticket);
  /// An answer that was kept, as the call's own.
  InferenceAnswer ServeKept(const Visit& visit, const CachedAnswer& kept, CacheUse use);
  /// The same for who wants it computed anew ("no-cache"): what comes of it takes the kept answer's place.
  runtime::Task<Result<InferenceAnswer>> RunAnew(Visit visit);
  /// What somebody has put in place of the model's answer, if it was done for this call's question.
  std::optional<InferenceAnswer> Corrected(const Visit& visit);
  runtime::Task<Result<InferenceAnswer>> RunOn(Visit visit);
  /// Computes an answer anew, beside the call that was served with the old one.
  void Refresh(cache::ResultCache::Ticket ticket, const Visit& visit);
  struct RefreshWork {
    cache::ResultCache::Ticket ticket;
    tenancy::CallerRef caller;
    models::VersionRef version;
    InferenceCall call;
  };
  runtime::Task<Result<void>> RunRefresh(runtime::Context ctx, std::shared_ptr<RefreshWork> work);
  void FinishSpan(std::unique_ptr<observe::Span> span, const runtime::Context& ctx,
                  const models::ModelVersion& version, const tenancy::Tenant& tenant,
                  const Result<InferenceAnswer>& answer) const;

  models::Catalog& catalog_;
  sched::DeviceExecutor& executor_;
  const observe::Tracer& tracer_;
  const Clock& clock_;
  const Extras extras_;
  std::atomic<ByteCount> shadow_bytes_{0};  // Of shadows in flight; a count, no partner.
};

}  // namespace mezzo::inference
