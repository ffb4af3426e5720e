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

double Millis(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

/// Jobs are charged as requests when they end, whatever number of calls they have taken.
std::string_view KindOf(const InferenceCall& call) {
  return call.admission == Admission::kNone ? "job" : "inference";
}
std::int64_t RequestsOf(const InferenceCall& call) { return call.admission == Admission::kWhole ? 1 : 0; }

template <typename Tensors>
std::int64_t BytesOf(const Tensors& tensors) {
  std::size_t bytes = 0;
  for (const NamedTensor& named : tensors) bytes += named.tensor.data.size();
  return static_cast<std::int64_t>(bytes);
}

}  // namespace

Result<std::unique_ptr<models::VersionExtension>> RuntimeBinder::Bind(const models::ModelVersion& version) {
  VersionRuntime::Extras extras{.ledger = extras_.ledger};
  if (extras_.samplers != nullptr) extras.sampler = extras_.samplers->SamplerOf(version);
  if (extras_.answers != nullptr) {
    MEZZO_TRY(extras.place, extras_.answers->PlaceOf(version));
  }
  return std::unique_ptr<models::VersionExtension>(std::make_unique<VersionRuntime>(
      version, executor_, metrics_, clock_, default_max_queued_, std::move(extras)));
}

runtime::Task<Result<InferenceAnswer>> LocalService::Infer(runtime::Context ctx, tenancy::CallerRef caller,
                                                           InferenceCall call) {
  // A call that names a version gets it, whatever the route says.
  if (extras_.routes != nullptr && call.version.empty()) {
    if (auto route = extras_.routes->Find(call.model.str())) {
      return InferRouted(std::move(ctx), std::move(caller), std::move(call), std::move(route));
    }
  }
  return InferOn(std::move(ctx), std::move(caller), std::move(call), {});
}

void LocalService::Charge(const Visit& visit, const tenancy::Usage& usage) {
  if (visit.bill != nullptr) {
    visit.bill->usage += usage;
  } else if (visit.account != nullptr) {
    visit.account->Add(usage);
  }
}

runtime::Task<Result<InferenceAnswer>> LocalService::InferOn(runtime::Context ctx, tenancy::CallerRef caller,
                                                             InferenceCall call, Terms terms) {
  const TimePoint started = clock_.Now();
  const observe::TraceContext* parent = ctx.trace().trace_id.empty() ? nullptr : &ctx.trace();
  auto span = tracer_.Start("inference", observe::SpanKind::kServer, parent, call.model.str());
  MEZZO_CO_TRY(const models::VersionRef version, co_await FindVersion(ctx, call.model, call.version));
  VersionRuntime& runtime = VersionRuntime::Of(*version);
  tenancy::Account* account = terms.shadow ? nullptr : runtime.AccountOf(*caller, KindOf(call));
  if (terms.bill != nullptr) terms.bill->account = account;

  std::optional<Result<InferenceAnswer>> answer;
  tenancy::LimitTicket own;
  tenancy::LimitTicket& ticket = terms.admitted == nullptr ? own : *terms.admitted;
  static const RequestPlan kNoPlan;
  const auto plan = PlanRequest(*version, call);
  const Visit visit{.ctx = ctx,
                    .caller = caller,
                    .version = version,
                    .call = call,
                    .plan = plan.ok() ? *plan : kNoPlan,
                    .ticket = ticket,
                    .account = account,
                    .started = started,
                    .limited = !terms.shadow,
                    .bill = terms.bill,
                    .shadow = terms.shadow};
  if (!plan.ok()) {
    answer.emplace(plan.error());
  } else if (terms.admitted == nullptr && terms.bill == nullptr && !terms.shadow) {
    auto admitted = Admit(*caller, call, runtime.model(), plan->rows, started);
    if (admitted.ok()) {
      own = *std::move(admitted);
    } else {
      answer.emplace(std::move(admitted).error());
    }
  }
  if (answer.has_value()) {
    // Refused.
  } else if (runtime.place() == nullptr || terms.shadow) {
    answer.emplace(co_await RunOn(visit));
  } else if (auto corrected = Corrected(visit)) {
    answer.emplace(*std::move(corrected));
  } else if (call.no_cache && !call.no_store) {
    answer.emplace(co_await RunAnew(visit));
  } else {
    answer.emplace(co_await RunCached(visit));
  }
  const std::int64_t requests = RequestsOf(call);
  if (answer->ok()) {
    Charge(visit, {.requests = requests, .bytes_out = BytesOf((*answer)->outputs)});
    CallSampler* const sampler = runtime.sampler();
    if (sampler != nullptr && !terms.shadow && sampler->Draw())
      sampler->Take(call.inputs, (*answer)->outputs);
  } else {
    runtime.RecordFailure(*caller->tenant, answer->error(), clock_.Now() - started);
    Charge(visit, {.requests = requests, .failed = requests});
  }
  if (span != nullptr) FinishSpan(std::move(span), ctx, *version, *caller->tenant, *answer);
  co_return *std::move(answer);
}

runtime::Task<Result<models::VersionRef>> LocalService::FindVersion(runtime::Context ctx, ModelName model,
                                                                    std::string version) {
  auto found = catalog_.Acquire(model.str(), version);
  if (found.ok() || found.error().reason() != "model_on_disk") co_return found;
  co_return co_await catalog_.AcquireLoaded(ctx, std::move(model), std::move(version));
}

Result<tenancy::LimitTicket> LocalService::Admit(const tenancy::Caller& caller, const InferenceCall& call,
                                                 sched::ModelIndex model, std::uint32_t rows, TimePoint now) {
  tenancy::Limiter* limiter = extras_.limiter;
  if (limiter == nullptr || call.admission == Admission::kNone) return tenancy::LimitTicket();
  const bool whole = call.admission == Admission::kWhole;
  tenancy::CallFacts facts{.caller = caller,
                           .model = call.model.str(),
                           .counts_request = whole,
                           .counts_concurrency = whole,
                           .refusable = whole,
                           .now = now};
  if (limiter->counts_cost()) facts.cost_ms = Millis(executor_.PredictRun(model, rows));
  return limiter->Admit(facts, call.limit);
}

Result<tenancy::LimitTicket> LocalService::AdmitToQueue(const Visit& visit) {
  tenancy::Limiter* limiter = extras_.limiter;
  if (limiter == nullptr || !limiter->counts_queues() || !visit.limited ||
      visit.call.admission == Admission::kNone) {
    return tenancy::LimitTicket();
  }
  // What the call has met before stays what its answer tells, unless it is refused here.
  tenancy::LimitState state;
  auto place = limiter->Admit({.caller = *visit.caller,
                               .model = visit.call.model.str(),
                               .refusable = visit.call.admission == Admission::kWhole,
                               .queue_places = VersionRuntime::Of(*visit.version).max_queued()},
                              &state);
  if (!place.ok() && visit.call.limit != nullptr) *visit.call.limit = std::move(state);
  return place;
}

std::optional<InferenceAnswer> LocalService::Corrected(const Visit& visit) {
  const CachePlace& place = *VersionRuntime::Of(*visit.version).place();
  const auto found = extras_.answers->CorrectionOf(place, *visit.version, visit.call, visit.plan,
                                                   *visit.caller->tenant, visit.started);
  if (found == nullptr) return std::nullopt;
  visit.ticket.Settle(0);
  return ServeKept(visit, static_cast<const CachedAnswer&>(*found), CacheUse::kCorrected);
}

runtime::Task<Result<InferenceAnswer>> LocalService::RunAnew(Visit visit) {
  VersionRuntime& runtime = VersionRuntime::Of(*visit.version);
  const CachePlace& place = *runtime.place();
  const bool verified = extras_.answers->Verified(place, visit.started);
  const std::uint64_t epoch = cache::ResultCache::EpochOf(place.model);
  MEZZO_CO_TRY(InferenceAnswer answer, co_await RunOn(visit));
  answer.cache = verified ? CacheUse::kMiss : CacheUse::kBypass;
  if (verified) {
    extras_.answers->Refill(place, *visit.version, visit.call, visit.plan, *visit.caller->tenant, answer,
                            epoch);
  }
  runtime.RecordMiss(answer.times.run);
  co_return answer;
}

runtime::Task<Result<InferenceAnswer>> LocalService::RunCached(Visit visit) {
  using Kind = cache::ResultCache::Kind;
  VersionRuntime& runtime = VersionRuntime::Of(*visit.version);
  const tenancy::Tenant& tenant = *visit.caller->tenant;
  auto outcome =
      extras_.answers->Begin(*runtime.place(), *visit.version, visit.call, visit.plan, tenant, visit.started);
  const bool joined = outcome.kind == Kind::kJoin;
  if (joined) {
    auto followed = co_await extras_.answers->results().Follow(visit.ctx, *std::move(outcome.follower));
    if (!followed.ok()) {
      visit.ticket.Refund();
      co_return followed.error();
    }
    outcome = *std::move(followed);
  }
  // Whoever is answered without a run has taken nothing of the device.
  if (outcome.error || outcome.value != nullptr) visit.ticket.Settle(0);
  if (outcome.error) co_return *std::move(outcome.error);
  if (outcome.value != nullptr) {
    const CacheUse use = joined                         ? CacheUse::kJoin
                         : outcome.kind == Kind::kStale ? CacheUse::kStale
                                                        : CacheUse::kHit;
    InferenceAnswer answer = ServeKept(visit, static_cast<const CachedAnswer&>(*outcome.value), use);
    if (outcome.ticket) Refresh(*std::move(outcome.ticket), visit);
    co_return answer;
  }
  if (outcome.kind == Kind::kLead) co_return co_await Lead(visit, *std::move(outcome.ticket));
  auto answer = co_await RunOn(visit);
  if (answer.ok()) answer->cache = CacheUse::kBypass;
  co_return answer;
}

InferenceAnswer LocalService::ServeKept(const Visit& visit, const CachedAnswer& kept, CacheUse use) {
  InferenceAnswer answer = kept.Answer();
  answer.model = visit.call.model;
  answer.version = visit.version->version_text;
  answer.id = visit.call.id;
  answer.cache = use;
  answer.served_by = visit.version;
  VersionRuntime::Of(*visit.version).RecordCached(*visit.caller->tenant, clock_.Now() - visit.started);
  Charge(visit, {.cache_hits = 1, .saved_ns = kept.cost().count()});
  return answer;
}

runtime::Task<Result<InferenceAnswer>> LocalService::Lead(Visit visit, cache::ResultCache::Ticket given) {
  cache::ResultCache::Ticket ticket = std::move(given);  // A local: it goes when the coroutine ends.
  VersionRuntime& runtime = VersionRuntime::Of(*visit.version);
  const CachePlace& place = *runtime.place();
  AnswerCache& answers = *extras_.answers;
  const auto within = visit.ctx.WithDeadline(DeadlineOf(visit.ctx, *visit.version->config, visit.started));
  const Duration predicted = executor_.PredictRun(runtime.model(), visit.plan.rows);
  auto said = co_await answers.AskHosts(within, &place, &ticket, predicted, /*refresh=*/false);
  if (!said.ok()) {
    visit.ticket.Refund();
    co_return said.error();
  }
  if (said->error) {
    visit.ticket.Settle(0);
    ticket.Fail(*said->error, said->cost, said->expires);
    co_return *std::move(said->error);
  }
  if (said->answer != nullptr) {
    visit.ticket.Settle(0);
    ticket.Fill(said->answer, said->cost, said->expires);
    co_return ServeKept(visit, *said->answer, said->waited ? CacheUse::kJoin : CacheUse::kHit);
  }
  auto answer = co_await RunOn(visit);
  if (!answer.ok()) {
    ticket.Fail(answer.error());
    answers.Share(std::move(said->lease), place, answer.error(), Duration());
    co_return answer;
  }
  const auto kept = std::make_shared<const CachedAnswer>(*answer);
  ticket.Fill(kept, answer->device_share);
  answers.Share(std::move(said->lease), place, kept);
  answer->cache = CacheUse::kMiss;
  runtime.RecordMiss(answer->times.run);
  co_return answer;
}

void LocalService::Refresh(cache::ResultCache::Ticket ticket, const Visit& visit) {
  constexpr Duration kLongest = std::chrono::seconds(60);
  // Their places go with the request; the call's tensors keep the request's bytes.
  visit.call.limit = nullptr;
  visit.call.headers = {};
  const auto work = std::make_shared<RefreshWork>(RefreshWork{.ticket = std::move(ticket),
                                                              .caller = visit.caller,
                                                              .version = visit.version,
                                                              .call = std::move(visit.call)});
  const auto ctx = runtime::Context().WithDeadline(AddSaturating(clock_.Now(), kLongest));
  // Refused when the server ends: the ticket lets the flight go.
  (void)extras_.background->Spawn(*runtime::Loop::Current(), ctx, [this, work](runtime::Context own) {
    return RunRefresh(std::move(own), work);
  });
}

runtime::Task<Result<void>> LocalService::RunRefresh(runtime::Context ctx,
                                                     std::shared_ptr<RefreshWork> work) {
  const TimePoint started = clock_.Now();
  VersionRuntime& runtime = VersionRuntime::Of(*work->version);
  MEZZO_CO_TRY(const RequestPlan plan, PlanRequest(*work->version, work->call));
  tenancy::LimitTicket ticket;  // The call that was served has paid; this run is charged, and not limited.
  const CachePlace& place = *runtime.place();
  AnswerCache& answers = *extras_.answers;
  const Duration predicted = executor_.PredictRun(runtime.model(), plan.rows);
  MEZZO_CO_TRY(AnswerCache::FromHosts said,
               co_await answers.AskHosts(ctx, &place, &work->ticket, predicted, /*refresh=*/true));
  if (said.error) {
    work->ticket.Fail(*said.error, said.cost, said.expires);
    co_return Result<void>();
  }
  if (said.answer != nullptr) {
    work->ticket.Fill(said.answer, said.cost, said.expires);
    co_return Result<void>();
  }
  const auto answer = co_await RunOn({.ctx = ctx,
                                      .caller = work->caller,
                                      .version = work->version,
                                      .call = work->call,
                                      .plan = plan,
                                      .ticket = ticket,
                                      .account = runtime.AccountOf(*work->caller, KindOf(work->call)),
                                      .started = started,
                                      .limited = false});
  if (!answer.ok()) {
    runtime.RecordFailure(*work->caller->tenant, answer.error(), clock_.Now() - started);
    work->ticket.Fail(answer.error());
    answers.Share(std::move(said.lease), place, answer.error(), Duration());
    co_return answer.error();
  }
  const auto kept = std::make_shared<const CachedAnswer>(*answer);
  work->ticket.Fill(kept, answer->device_share);
  answers.Share(std::move(said.lease), place, kept);
  co_return Result<void>();
}

runtime::Task<Result<InferenceAnswer>> LocalService::RunOn(Visit visit) {
  const tenancy::Tenant& tenant = *visit.caller->tenant;
  const models::ModelVersion& version = *visit.version;
  sched::Class cls = sched::Class::kBulk;
  if (!visit.shadow) {
    MEZZO_CO_TRY(cls, ChooseClass(*version.config, visit.call.priority, tenant));
  }
  runtime::Loop* home = runtime::Loop::Current();
  MEZZO_CHECK(home != nullptr);

  VersionRuntime& runtime = VersionRuntime::Of(version);
  CallItem item(visit.plan, *home);
  item.tenant = sched::TenantIndex{tenant.index};
  item.model = runtime.model();
  item.cls = cls;
  item.deadline = DeadlineOf(visit.ctx, *version.config, visit.started);
  item.may_shed = visit.shadow || visit.call.admission == Admission::kWhole;
  if (auto place = AdmitToQueue(visit); place.ok()) {
    item.place = *std::move(place);
  } else {
    visit.ticket.Refund();
    co_return std::move(place).error();
  }

  std::optional<Error> refused;
  {
    const runtime::CancelRegistration cancel(visit.ctx.cancel_state(),
                                             [this, &item] { executor_.Cancel(item); });
    refused = co_await item.Run(executor_);
  }
  // What never reached the device is not held against the caller's limits; what did counts, failed or not.
  if (item.report.batch_rows == 0) {
    visit.ticket.Refund();
  } else {
    if (!visit.ticket.empty()) visit.ticket.Settle(Millis(item.report.share));
    Charge(visit, {.device_ns = item.report.share.count(), .bytes_in = BytesOf(visit.call.inputs)});
  }
  if (refused) co_return *std::move(refused);
  MEZZO_CO_TRY(std::vector<tensor::Tensor> outputs, *std::move(item.result));

  InferenceAnswer answer;
  answer.model = visit.call.model;
  answer.version = version.version_text;
  answer.id = visit.call.id;
  answer.batch_rows = item.report.batch_rows;
  answer.device_share = item.report.share;
  answer.times = {.queue = item.report.queued,
                  .gather = item.gather,
                  .run = item.report.run - item.gather - item.scatter,
                  .scatter = item.scatter};
  answer.outputs.reserve(outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const models::TensorConfig& spec = version.config->outputs[visit.plan.wanted[i]];
    answer.outputs.push_back({.name = spec.name, .tensor = std::move(outputs[i])});
  }
  runtime.RecordSuccess(tenant, item, clock_.Now() - visit.started);
  answer.served_by = visit.version;
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
