#include "mezzo/jobs/job_service.h"

#include <algorithm>
#include <utility>

#include "mezzo/runtime/loop.h"

namespace mezzo::jobs {
namespace {

constexpr Duration kCountGap = std::chrono::seconds(1);
constexpr Duration kComeBack = std::chrono::seconds(30);

}  // namespace

JobService::JobService(Options options, Ports ports, std::map<std::string, JobHandler*, std::less<>> handlers)
    : options_(options), ports_(std::move(ports)), handlers_(std::move(handlers)) {}

std::string JobService::KindNames() const {
  std::string names;
  for (const auto& [name, handler] : handlers_) names += (names.empty() ? "" : ", ") + name;
  return names;
}

TimePoint JobService::Limit(const runtime::Context& ctx) const {
  return std::min(ctx.deadline(), AddSaturating(ports_.clock.Now(), options_.database_timeout));
}

Result<void> JobService::CheckRoom(Tier tier, TimePoint deadline) {
  const TimePoint now = ports_.clock.Now();
  bool count = false;
  {
    MutexLock lock(mu_);
    count = queued_.empty() || now - counted_at_ >= kCountGap;
    if (count) counted_at_ = now;
  }
  if (count) {
    MEZZO_TRY(const auto depths, ports_.reader.Depths(options_.max_queued, deadline));
    MutexLock lock(mu_);
    for (const auto& depth : depths) queued_[depth.lane] = depth.queued;
  }
  MutexLock lock(mu_);
  if (queued_[tier] < options_.max_queued) {
    ++queued_[tier];
    return {};
  }
  return ResourceExhausted("jobs_queue_full", "the queue of tier '" + std::string(TierName(tier)) +
                                                  "' is full (limit " + std::to_string(options_.max_queued) +
                                                  " jobs)")
      .WithRetryAfter(kComeBack);
}

std::size_t JobService::WaitingOf(const tenancy::Limit& limit, const TenantId& tenant,
                                  const std::string& model) const {
  const bool of_tenant = !limit.tenant.empty() || (limit.per & tenancy::kPerTenant) != 0;
  const bool of_model = !limit.model.empty() || (limit.per & tenancy::kPerModel) != 0;
  std::size_t count = 0;
  auto at = of_tenant ? waiting_.lower_bound({tenant.str(), ""}) : waiting_.begin();
  for (; at != waiting_.end() && (!of_tenant || at->first.first == tenant.str()); ++at) {
    if (!of_model || at->first.second == model) count += at->second;
  }
  return count;
}

Result<void> JobService::CheckQueued(const tenancy::Caller* caller, const std::string& model,
                                     tenancy::LimitState* met, TimePoint deadline) {
  if (ports_.limiter == nullptr || caller == nullptr || !ports_.limiter->counts_queues()) return {};
  const TimePoint now = ports_.clock.Now();
  bool count = false;
  {
    MutexLock lock(mu_);
    count = !waiting_at_ || now - *waiting_at_ >= kCountGap;
    if (count && waiting_at_) waiting_at_ = now;  // The others go on with what is known.
  }
  if (count) {
    MEZZO_TRY(const auto waiting, ports_.reader.WaitingByTenant(deadline));
    std::vector<tenancy::Limit> limits = ports_.limiter->limits();
    std::erase_if(limits, [](const tenancy::Limit& limit) {
      return limit.kind != tenancy::LimitKind::kQueued || !limit.project.empty() || !limit.key.empty() ||
             (limit.per & (tenancy::kPerProject | tenancy::kPerKey)) != 0;
    });
    MutexLock lock(mu_);
    waiting_at_ = now;
    waiting_.clear();
    for (const auto& row : waiting) waiting_[{row.tenant.str(), row.model}] = row.queued;
    queue_limits_ = std::move(limits);
  }
  const TenantId& tenant = caller->tenant->id;
  MutexLock lock(mu_);
  for (const tenancy::Limit& limit : queue_limits_) {
    if (!limit.tenant.empty() && limit.tenant != tenant) continue;
    if (!limit.model.empty() && limit.model.str() != model) continue;
    if (static_cast<double>(WaitingOf(limit, tenant, model)) + 1 <= limit.amount) continue;
    if (met != nullptr) {
      *met = {.name = limit.name,
              .kind = limit.kind,
              .amount = limit.amount,
              .reset = kComeBack,
              .refused = true};
    }
    return ResourceExhausted("queue_limited", "limit '" + limit.name + "' is used up: " +
                                                  std::to_string(static_cast<std::int64_t>(limit.amount)) +
                                                  " jobs may wait")
        .WithRetryAfter(kComeBack);
  }
  ++waiting_[{tenant.str(), model}];
  return {};
}

Result<void> JobService::CheckTier(const tenancy::Caller* caller, Tier tier) {
  if (caller == nullptr || caller->tenant->tiers.at(static_cast<std::size_t>(tier) - 1)) return {};
  return PermissionDenied(
      "tier_not_allowed",
      "tenant '" + caller->tenant->id.str() + "' may not use the tier '" + std::string(TierName(tier)) + "'");
}

Result<tenancy::LimitTicket> JobService::Admit(const tenancy::Caller* caller, const std::string& model,
                                               double cost, tenancy::LimitState* limit) const {
  constexpr double kMillis = 1000;
  if (ports_.limiter == nullptr || caller == nullptr) return tenancy::LimitTicket();
  const tenancy::CallFacts facts{
      .caller = *caller, .model = model, .cost_ms = cost * kMillis, .counts_concurrency = false};
  return ports_.limiter->Admit(facts, limit);
}

runtime::Task<Result<JobStore::Submitted>> JobService::Submit(runtime::Context ctx, NewJob job) {
  const auto handler = handlers_.find(job.kind);
  if (handler == handlers_.end()) {
    co_return InvalidArgument("job_kind_unknown", "job kind '" + job.kind + "' is not one of " + KindNames());
  }
  const bool unsigned_webhook = job.webhook && job.webhook->secret.empty();
  if (unsigned_webhook && (!ports_.signs_webhooks || !ports_.signs_webhooks(job.tenant))) {
    co_return InvalidArgument(
        "job_request", "'webhook.secret' is missing (whsec_ and 24 to 64 bytes in base64), and tenant '" +
                           job.tenant.str() + "' has no webhook_secrets");
  }
  const TimePoint deadline = Limit(ctx);
  MEZZO_CO_TRY_VOID(CheckTier(job.caller.get(), job.tier));
  if (job.caller != nullptr) {
    job.project = job.caller->project;
    job.key = job.caller->key;
  }
  const auto enqueue = [this, deadline, &job, &handler]() -> Result<JobStore::Submitted> {
    MEZZO_TRY(JobEstimate estimate, handler->second->Check(job.tenant, job.request));
    job.model = std::move(estimate.model);
    job.cost = estimate.cost;
    MEZZO_TRY(tenancy::LimitTicket ticket, Admit(job.caller.get(), job.model, job.cost, job.limit));
    const auto queue = [&]() -> Result<JobStore::Submitted> {
      MEZZO_TRY_VOID(CheckQueued(job.caller.get(), job.model, job.limit, deadline));
      MEZZO_TRY_VOID(CheckRoom(job.tier, deadline));
      MEZZO_TRY(auto outcomes, ports_.store.Enqueue({&job, 1}, deadline));
      return std::move(outcomes[0]);
    };
    Result<JobStore::Submitted> submitted = queue();
    if (!submitted.ok() || submitted->replayed) ticket.Refund();
    return submitted;
  };
  co_return co_await runtime::Offload(ports_.pool, enqueue);
}

runtime::Task<Result<Job>> JobService::Get(runtime::Context ctx, TenantId tenant, JobId id) {
  if (ports_.cache != nullptr) {
    if (const auto kept = ports_.cache->Find(tenant, id)) co_return *kept;
  }
  const TimePoint deadline = Limit(ctx);
  const auto get = [&]() -> Result<Job> {
    if (ports_.cache == nullptr) return ports_.reader.Get(tenant, id, deadline);
    JobCache::Reading reading(*ports_.cache, id);
    MEZZO_TRY(Job job, ports_.reader.Get(tenant, id, deadline));
    reading.Keep(job);
    return job;
  };
  co_return co_await runtime::Offload(ports_.pool, get);
}

runtime::Task<Result<Job>> JobService::Wait(runtime::Context ctx, TenantId tenant, JobId id,
                                            std::int64_t after, bool until_end, TimePoint until) {
  while (true) {
    const auto waiter = ports_.watch.Add(id);
    MEZZO_CO_TRY(Job job, co_await Get(ctx, tenant, id));
    const TimePoint now = ports_.clock.Now();
    if (IsTerminal(job.state) || (!until_end && job.version > after) || now >= until) co_return job;
    const runtime::CancelRegistration forward(ctx.cancel_state(), [&waiter] { waiter->wake().Cancel(); });
    const TimePoint recheck = std::min(until, AddSaturating(now, options_.recheck));
    // Either way the job is looked at again.
    static_cast<void>(co_await runtime::SleepUntil(waiter->wake(), recheck));
    if (ctx.cancelled()) co_return Cancelled("client_gone", "the caller has gone");
  }
}

runtime::Task<Result<JobReader::Page>> JobService::List(runtime::Context ctx,
                                                        JobReader::ListRequest request) {
  const TimePoint deadline = Limit(ctx);
  const auto list = [&] { return ports_.reader.List(request, deadline); };
  co_return co_await runtime::Offload(ports_.pool, list);
}

runtime::Task<Result<JobState>> JobService::Cancel(runtime::Context ctx, TenantId tenant, JobId id) {
  const TimePoint deadline = Limit(ctx);
  const auto cancel = [&]() -> Result<JobState> {
    if (ports_.limiter == nullptr || !ports_.limiter->counts_cost()) {
      return ports_.store.Cancel(tenant, id, deadline);
    }
    MEZZO_TRY(const Job job, ports_.reader.Get(tenant, id, deadline));
    MEZZO_TRY(const JobState state, ports_.store.Cancel(tenant, id, deadline));
    // A job that ran is settled where its run ends.
    const bool waited = job.state == JobState::kQueued || job.state == JobState::kScheduled;
    if (waited && state == JobState::kCancelled) Return(job);
    return state;
  };
  co_return co_await runtime::Offload(ports_.pool, cancel);
}

void JobService::Return(const Job& job) const {
  constexpr double kMillis = 1000;
  const tenancy::CallerRef caller =
      ports_.find_caller ? ports_.find_caller(job.tenant, job.project, job.key) : nullptr;
  if (caller != nullptr) ports_.limiter->AddCost(*caller, job.model, -job.cost * kMillis);
}

runtime::Task<Result<JobId>> JobService::Retry(runtime::Context ctx, TenantId tenant, JobId id,
                                               tenancy::CallerRef caller, tenancy::LimitState* limit) {
  const TimePoint deadline = Limit(ctx);
  const auto retry = [&]() -> Result<JobId> {
    if (caller == nullptr) return ports_.store.Retry(tenant, id, deadline);
    MEZZO_TRY(const Job job, ports_.reader.Get(tenant, id, deadline));
    MEZZO_TRY_VOID(CheckTier(caller.get(), job.tier));
    MEZZO_TRY(tenancy::LimitTicket ticket, Admit(caller.get(), job.model, job.cost, limit));
    const auto room = CheckQueued(caller.get(), job.model, limit, deadline);
    Result<JobId> again = room.ok() ? ports_.store.Retry(tenant, id, deadline, caller.get()) : room.error();
    if (!again.ok()) ticket.Refund();
    return again;
  };
  co_return co_await runtime::Offload(ports_.pool, retry);
}

runtime::Task<Result<void>> JobService::Delete(runtime::Context ctx, TenantId tenant, JobId id) {
  const TimePoint deadline = Limit(ctx);
  const auto forget = [&]() -> Result<void> {
    const Result<void> deleted = ports_.store.Delete(tenant, id, deadline);
    // Whatever came of it: the outcome may be unknown.
    if (ports_.cache != nullptr) ports_.cache->Forget(id);
    return deleted;
  };
  co_return co_await runtime::Offload(ports_.pool, forget);
}

}  // namespace mezzo::jobs
