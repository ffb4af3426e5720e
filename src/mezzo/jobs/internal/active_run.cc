#include "mezzo/jobs/internal/active_run.h"

#include <utility>

#include "mezzo/base/uuid.h"

namespace mezzo::jobs::internal {
namespace {

constexpr Duration kReportGap = std::chrono::milliseconds(250);
constexpr Duration kWriteTimeout = std::chrono::seconds(10);

runtime::Context ContextOf(const LeasedJob& job, const Clock& clock) {
  const runtime::Context ctx({.tenant = job.tenant, .request_id = job.fence.id.str(), .trace = {}});
  if (!job.deadline) return ctx;
  return ctx.WithDeadline(AddSaturating(clock.Now(), *job.deadline - clock.WallNow()));
}

}  // namespace

ActiveRun::ActiveRun(LeasedJob job, JobStore& store, const Clock& clock)
    : lease_until(AddSaturating(clock.Now(), store.options().lease)),
      job_(std::move(job)),
      store_(store),
      clock_(clock),
      ctx_(ContextOf(job_, clock)) {}

Result<void> ActiveRun::Report(double progress, const std::string& stage) {
  {
    MutexLock lock(mu_);
    const TimePoint now = clock_.Now();
    if (stage == stage_ && now < next_report_) return {};
    stage_ = stage;
    next_report_ = now + kReportGap;
  }
  return LostUnless(store_.Report(job_.fence, progress, stage, clock_.Now() + kWriteTimeout));
}

Result<void> ActiveRun::SaveCheckpoint(const std::string& checkpoint) {
  return LostUnless(store_.SaveCheckpoint(job_.fence, checkpoint, clock_.Now() + kWriteTimeout));
}

Result<void> ActiveRun::LostUnless(Result<bool> held) {
  if (!held.ok()) return std::move(held).error();
  if (*held) return {};
  Tell(Stop::kLeaseLost);
  return Cancelled("job_lease_lost", "job '" + job_.fence.id.str() + "' attempt " +
                                         std::to_string(job_.fence.attempt) +
                                         " does not hold the job any more");
}

void ActiveRun::Tell(Stop why) {
  Stop none = Stop::kNone;
  stop_.compare_exchange_strong(none, why);
  ctx_.Cancel();
}

void ActiveRun::Made(const std::string& model, const std::string& version, const tenancy::Usage& usage) {
  MutexLock lock(mu_);
  made_model_ = model;
  made_version_ = version;
  made_ += usage;
}

void ActiveRun::ChargeTo(tenancy::Ledger& ledger, bool succeeded) {
  MutexLock lock(mu_);
  tenancy::Usage usage = succeeded ? made_ : tenancy::Usage();
  usage.requests = 1;
  usage.failed = succeeded ? 0 : 1;
  ledger
      .AccountFor({.tenant = job_.tenant.str(),
                   .project = job_.project.str(),
                   .key_id = job_.key.str(),
                   .model = made_model_.empty() ? job_.model : made_model_,
                   .version = made_version_,
                   .kind = "job"})
      .Add(usage);
}

RunEnd ActiveRun::EndOf(const Result<std::string>& answer, const RetryPolicy& policy, WallTime now) const {
  RunEnd end{.fence = job_.fence, .device_time = Duration(device_ns_.load(std::memory_order_relaxed))};
  if (answer.ok()) {
    end.kind = RunEnd::Kind::kSucceeded;
    end.result = *answer;
    return end;
  }
  const Error& error = answer.error();
  end.error = {.reason = error.reason(), .message = error.message()};
  if (error.code() == Code::kCancelled && stop() == Stop::kCancelled) {
    end.kind = RunEnd::Kind::kCancelled;
    end.error = {};
    return end;
  }
  if (stop() == Stop::kShutdown) {
    end.kind = RunEnd::Kind::kReleased;
    end.error = {};
    return end;
  }
  constexpr double kRange = 18446744073709551616.0;  // 2^64
  const auto verdict = policy.OnError(error, job_.errors, static_cast<double>(RandomUint64()) / kRange);
  end.kind = verdict.retry ? RunEnd::Kind::kRetry : RunEnd::Kind::kFailed;
  end.run_after = now + verdict.delay;
  return end;
}

}  // namespace mezzo::jobs::internal
