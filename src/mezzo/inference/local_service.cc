#include "mezzo/inference/local_service.h"

#include <algorithm>
#include <utility>

#include "mezzo/inference/request_plan.h"

namespace mezzo::inference {
namespace {

/// When the result stops being useful: the caller's deadline, or the model's default.
TimePoint DeadlineOf(const runtime::Context& ctx, const models::ModelConfig& config, TimePoint now) {
  TimePoint deadline = ctx.deadline();
  if (config.default_deadline) deadline = std::min(deadline, AddSaturating(now, *config.default_deadline));
  if (config.default_queue_timeout)
    deadline = std::min(deadline, AddSaturating(now, *config.default_queue_timeout));
  return deadline;
}

}  // namespace

Result<std::unique_ptr<models::VersionExtension>> RuntimeBinder::Bind(const models::ModelVersion& version) {
  return std::unique_ptr<models::VersionExtension>(
      std::make_unique<VersionRuntime>(version, executor_, metrics_, clock_, default_max_queued_));
}

runtime::Task<Result<InferenceAnswer>> LocalService::Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                           InferenceCall call) {
  const TimePoint started = clock_.Now();
  const tenancy::TenantRef& tenant = caller->tenant;
  const observe::TraceContext* parent = ctx.trace().trace_id.empty() ? nullptr : &ctx.trace();
  auto span = tracer_.Start("inference", observe::SpanKind::kServer, parent, call.model.str());
  MEZZO_CO_TRY(models::VersionRef version, co_await FindVersion(ctx, call.model, call.version));
  const models::VersionRef kept = version;  // The record of the call outlives its run.
  auto answer = co_await RunOn(ctx, tenant, std::move(version), std::move(call), started);
  if (!answer.ok()) VersionRuntime::Of(*kept).RecordFailure(*tenant, answer.error(), clock_.Now() - started);
  if (span != nullptr) FinishSpan(std::move(span), ctx, *kept, *tenant, answer);
  co_return answer;
}

runtime::Task<Result<models::VersionRef>> LocalService::FindVersion(runtime::Context ctx, ModelName model,
                                                                    std::string version) {
  auto found = catalog_.Acquire(model.str(), version);
  if (found.ok() || found.error().reason() != "model_on_disk") co_return found;
  co_return co_await catalog_.AcquireLoaded(ctx, std::move(model), std::move(version));
}

runtime::Task<Result<InferenceAnswer>> LocalService::RunOn(runtime::Context ctx, tenancy::TenantRef tenant,
                                                           models::VersionRef version, InferenceCall call,
                                                           TimePoint started) {
  MEZZO_CO_TRY(const RequestPlan plan, PlanRequest(*version, call));
  MEZZO_CO_TRY(const sched::Class cls, ChooseClass(*version->config, call.priority, *tenant));
  runtime::Loop* home = runtime::Loop::Current();
  MEZZO_CHECK(home != nullptr);

  VersionRuntime& runtime = VersionRuntime::Of(*version);
  CallItem item(plan, *home);
  item.tenant = sched::TenantIndex{tenant->index};
  item.model = runtime.model();
  item.cls = cls;
  item.deadline = DeadlineOf(ctx, *version->config, started);

  std::optional<Error> refused;
  {
    const runtime::CancelRegistration cancel(ctx.cancel_state(), [this, &item] { executor_.Cancel(item); });
    refused = co_await item.Run(executor_);
  }
  if (refused) co_return *std::move(refused);
  MEZZO_CO_TRY(std::vector<tensor::Tensor> outputs, *std::move(item.result));

  InferenceAnswer answer;
  answer.model = std::move(call.model);
  answer.version = version->version_text;
  answer.id = std::move(call.id);
  answer.batch_rows = item.report.batch_rows;
  answer.times = {.queue = item.report.queued,
                  .gather = item.gather,
                  .run = item.report.run - item.gather - item.scatter,
                  .scatter = item.scatter};
  answer.outputs.reserve(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const models::TensorConfig& spec = version->config->outputs[plan.wanted[i]];
    answer.outputs.push_back({.name = spec.name, .tensor = std::move(outputs[i])});
  }
  runtime.RecordSuccess(*tenant, item, clock_.Now() - started);
  answer.served_by = std::move(version);
  co_return answer;
}

void LocalService::FinishSpan(std::unique_ptr<observe::Span> span, const runtime::Context& ctx,
                              const models::ModelVersion& version, const tenancy::Tenant& tenant,
                              const Result<InferenceAnswer>& answer) const {
  span->Set("mezzo.model", version.name.str());
  span->Set("mezzo.version", version.version_text);
  span->Set("mezzo.tenant", tenant.id.str());
  span->Set("mezzo.request_id", ctx.request_id());
  if (answer.ok()) {
    span->Set("mezzo.batch_rows", static_cast<std::int64_t>(answer->batch_rows));
    // The stages end now, one behind the other; what lies before them is admission.
    const StageTimes& times = answer->times;
    WallTime at = clock_.WallNow() - (times.queue + times.gather + times.run + times.scatter);
    const WallTime admitted = std::max(at, span->start());
    span->AddStage("admit", span->start(), admitted);
    const auto stage = [&](std::string_view name, Duration time) {
      span->AddStage(name, at, at + time);
      at += time;
    };
    stage("queue", times.queue);
    stage("gather", times.gather);
    stage("run", times.run);
    stage("scatter", times.scatter);
  } else {
    span->Fail(answer.error().ToString());
  }
  tracer_.Finish(std::move(span));
}

void LocalService::RecordEdges(const InferenceAnswer& answer, Duration admit, Duration encode) {
  if (answer.served_by != nullptr) VersionRuntime::Of(*answer.served_by).RecordEdges(admit, encode);
}

Result<std::vector<ModelStatistics>> LocalService::Statistics(std::string_view model,
                                                              std::string_view version) {
  std::vector<ModelStatistics> out;
  if (!model.empty() && !version.empty()) {
    MEZZO_TRY(const models::VersionRef found, catalog_.Acquire(model, version));
    out.push_back(VersionRuntime::Of(*found).Statistics());
    return out;
  }
  bool known = model.empty();
  for (const auto& entry : catalog_.Index(/*ready_only=*/false)) {
    if (!model.empty() && entry.name != model) continue;
    known = true;
    if (entry.state != models::VersionState::kReady) continue;
    auto found = catalog_.Acquire(entry.name, entry.version);
    if (found.ok()) out.push_back(VersionRuntime::Of(**found).Statistics());
  }
  if (!known) {
    return NotFound("model_unknown", "Request for unknown model: '" + std::string(model) + "' is not found");
  }
  return out;
}

}  // namespace mezzo::inference
