#pragma once

#include <string>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/runtime/context.h"
#include "mezzo/tenancy/ledger/usage.h"

namespace mezzo::jobs {

/// One attempt, as its handler sees it. Lives on the handler's thread; ctx() and cancelled() may be used from
/// others.
class JobRun {
 public:
  virtual ~JobRun() = default;
  [[nodiscard]] virtual const LeasedJob& job() const = 0;
  /// Carries the tenant and the job's deadline; cancelled when the job is, when its lease is lost, and when
  /// the host stops.
  [[nodiscard]] virtual const runtime::Context& ctx() const = 0;
  [[nodiscard]] bool cancelled() const { return ctx().cancelled(); }

  /// What has been reached, 0 to 1, and what is being done. Written at most every quarter of a second unless
  /// the stage changes. Fails with kCancelled "job_lease_lost" when this attempt does not count any more.
  virtual Result<void> Report(double progress, const std::string& stage) = 0;
  /// Keeps JSON that later attempts find in job().checkpoint. On disk when it returns. Fails as Report().
  virtual Result<void> SaveCheckpoint(const std::string& checkpoint) = 0;
  /// Device time to charge with this attempt, however it ends.
  virtual void AddDeviceTime(Duration time) = 0;
  /// What this attempt has made, by which model: charged once, when the job has succeeded by this attempt.
  /// Device time is charged where it is spent, not here. Hosts without a ledger do not look at it.
  virtual void Made(const std::string& model, const std::string& version, const tenancy::Usage& usage) {
    (void)model, (void)version, (void)usage;
  }
};

/// What a handler says of a request before it is queued.
struct JobEstimate {
  std::string model;  ///< What the job will need here; empty: no model.
  double cost = 0;    ///< Predicted device seconds.
};

/// What runs the jobs of one kind. Thread-safe: many at once.
class JobHandler {
 public:
  virtual ~JobHandler() = default;
  /// Checks a request (JSON) before it is queued, so that what can't work is refused at once and exactly.
  /// Quick, and does not block.
  virtual Result<JobEstimate> Check(const TenantId& tenant, const std::string& request) = 0;
  /// Blocks until the job is done, and returns its result as JSON. A retryable error leads to a retry within
  /// the budget, kCancelled after a cancellation to the state cancelled, any other to failed. The handler
  /// looks at run.cancelled() at every step. It may run twice for one job (a host that vanished): effects
  /// outside must be keyed by job and attempt.
  virtual Result<std::string> Run(JobRun& run) = 0;
};

}  // namespace mezzo::jobs
