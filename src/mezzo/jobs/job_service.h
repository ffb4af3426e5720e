#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job_cache.h"
#include "mezzo/jobs/job_handler.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/job_watch.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::jobs {

/// What protocols call. Never blocks a loop: the database is asked on `pool`. Thread-safe.
class JobService {
 public:
  struct Options {
    std::size_t max_queued = 1'000'000;  ///< Waiting jobs of a lane; more are refused.
    Duration database_timeout = std::chrono::seconds(10);
    Duration recheck = std::chrono::seconds(2);  ///< Of a job that is waited for, without being told.
  };
  /// All outlive the service.
  struct Ports {
    JobStore& store;
    JobReader& reader;
    JobWatch& watch;
    runtime::BlockingPool& pool;
    const Clock& clock;
    /// Whether webhooks without a secret of their own can be signed; null: for nobody.
    std::function<bool(const TenantId&)> signs_webhooks;
    tenancy::Limiter* limiter = nullptr;  ///< Null: no limits.
    /// Who queued a job, as far as that is still known; null: nobody knows the tenant. Needed with `limiter`.
    std::function<tenancy::CallerRef(const TenantId&, const ProjectId&, const KeyId&)> find_caller = {};
    JobCache* cache = nullptr;  ///< Of jobs that have ended; null: each is read every time.
  };
  JobService(Options options, Ports ports, std::map<std::string, JobHandler*, std::less<>> handlers);

  /// Asks the kind's handler, then queues. `job.model` and `job.cost` are the handler's. Errors:
  /// kInvalidArgument "job_kind_unknown", "job_request" (a webhook nobody could sign) and the handler's;
  /// kPermissionDenied "tier_not_allowed"; Limiter::Admit()'s; kResourceExhausted "jobs_queue_full",
  /// "queue_limited";
  /// JobStore::Enqueue()'s. Of a job that was there already (idempotency key) limits count nothing.
  runtime::Task<Result<JobStore::Submitted>> Submit(runtime::Context ctx, NewJob job);
  runtime::Task<Result<Job>> Get(runtime::Context ctx, TenantId tenant, JobId id);
  /// The job as soon as its version is beyond `after` (terminal: `until_end`), or at `until`, whichever is
  /// first.
  runtime::Task<Result<Job>> Wait(runtime::Context ctx, TenantId tenant, JobId id, std::int64_t after,
                                  bool until_end, TimePoint until);
  runtime::Task<Result<JobReader::Page>> List(runtime::Context ctx, JobReader::ListRequest request);
  runtime::Task<Result<JobState>> Cancel(runtime::Context ctx, TenantId tenant, JobId id);
  /// A retried job is asked its caller's tier and limits again, as Submit() does; null: nobody's.
  runtime::Task<Result<JobId>> Retry(runtime::Context ctx, TenantId tenant, JobId id,
                                     tenancy::CallerRef caller = nullptr,
                                     tenancy::LimitState* limit = nullptr);
  runtime::Task<Result<void>> Delete(runtime::Context ctx, TenantId tenant, JobId id);

  [[nodiscard]] std::string KindNames() const;

 private:
  [[nodiscard]] TimePoint Limit(const runtime::Context& ctx) const;
  /// By the caller's tiers and limits.
  [[nodiscard]] static Result<void> CheckTier(const tenancy::Caller* caller, Tier tier);
  [[nodiscard]] Result<tenancy::LimitTicket> Admit(const tenancy::Caller* caller, const std::string& model,
                                                   double cost, tenancy::LimitState* limit) const;
  /// Of a job that was cancelled before it ran: what limits on cost have counted for it comes back.
  void Return(const Job& job) const;
  /// Whether limits of kind `queued` leave room for one more job of the tenant; notes it when they do. Those
  /// for one key or project don't count jobs, which do not remember theirs. On the pool; asks the database
  /// and looks at the limits at most once a second, so jobs that hosts take at once may go over by some.
  Result<void> CheckQueued(const tenancy::Caller* caller, const std::string& model, tenancy::LimitState* met,
                           TimePoint deadline) EXCLUDES(mu_);
  [[nodiscard]] std::size_t WaitingOf(const tenancy::Limit& limit, const TenantId& tenant,
                                      const std::string& model) const REQUIRES(mu_);
  /// On the pool. Counts what waits at most once a second.
  Result<void> CheckRoom(Tier tier, TimePoint deadline) EXCLUDES(mu_);

  const Options options_;
  const Ports ports_;
  const std::map<std::string, JobHandler*, std::less<>> handlers_;
  Mutex mu_;
  TimePoint counted_at_ GUARDED_BY(mu_){};
  std::map<Tier, std::size_t> queued_ GUARDED_BY(mu_);
  std::optional<TimePoint> waiting_at_ GUARDED_BY(mu_);
  std::map<std::pair<std::string, std::string>, std::size_t> waiting_
      GUARDED_BY(mu_);  // By tenant and model.
  std::vector<tenancy::Limit> queue_limits_ GUARDED_BY(mu_);
};

}  // namespace mezzo::jobs
