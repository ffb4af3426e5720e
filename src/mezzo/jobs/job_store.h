#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/jobs/retry_policy.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// Channels of SqlDb::Listen(). Payloads are job ids with spaces between, or empty: look at all.
inline constexpr std::string_view kQueuedChannel = "mezzo_jobs_queued";
inline constexpr std::string_view kChangedChannel = "mezzo_jobs_changed";
inline constexpr std::string_view kCancelChannel = "mezzo_jobs_cancel";

/// How one run ended.
struct RunEnd {
  enum class Kind : std::uint8_t {
    kSucceeded,
    kFailed,  ///< For good.
    kRetry,   ///< A fault that can pass: runs again at `run_after`.
    kCancelled,
    kReleased,  ///< Its host is stopping: back into the queue, nothing counted.
  };
  Fence fence;
  Kind kind = Kind::kSucceeded;
  std::string result;  ///< JSON; of a success.
  JobError error;      ///< Of a failure or retry.
  WallTime run_after;  ///< Of a retry.
  Duration device_time = {};
};

/// A job that ended while no run of it was under way: cancelled or too late as it waited, or given up because
/// its hosts had vanished.
struct RunlessEnd {
  TenantId tenant;
  ProjectId project;
  KeyId key;
  std::string model;
  JobState state = JobState::kFailed;
};

/// The queue's writes: each method is one transaction, and whatever it changes of a running job is guarded by
/// (job, attempt, running). Blocks. Thread-safe; many hosts share one database.
///
/// Errors beyond those named: SqlDb's.
class JobStore {
 public:
  struct Options {
    Duration lease = std::chrono::seconds(30);
    Duration idempotency_lifetime = std::chrono::hours(24);
    Duration aging = std::chrono::minutes(5);     ///< A job that waited this long moves up a tier.
    Duration patience = std::chrono::seconds(2);  ///< After this wait a host without the model takes it too.
    RetryPolicy retry;
    /// Told of each such job once, by the host that ended it, after the commit. Must not block. Null: nobody.
    std::function<void(const RunlessEnd&)> on_runless_end;
  };
  /// `db` and `clock` outlive the store. On hosts that share a database their wall clocks should agree to
  /// well within a lease.
  JobStore(Options options, storage::SqlDb& db, const Clock& clock);

  struct Submitted {
    JobId id;
    bool replayed = false;  ///< The key had come before, with the same request: its job.
  };
  /// All in one transaction; an outcome each. An idempotency key that came with another request is
  /// kInvalidArgument "idempotency_mismatch".
  Result<std::vector<Result<Submitted>>> Enqueue(std::span<const NewJob> jobs, TimePoint deadline);

  struct ClaimRequest {
    HostId host;
    std::size_t limit = 1;
    /// Models that need no load here. Jobs of others are left for a host that has theirs, for
    /// Options::patience.
    std::vector<std::string> warm_models;
    bool only_host = false;  ///< Nobody else would take them: no patience.
    std::int64_t last_lane = static_cast<std::int64_t>(Tier::kFree);  ///< The least urgent one to take from.
  };
  /// Leases up to `limit` jobs, the next by lane and fair order, each with a new attempt.
  Result<std::vector<LeasedJob>> Claim(const ClaimRequest& request, TimePoint deadline);

  struct Renewed {
    JobId id;
    bool cancel_requested = false;
  };
  /// Extends the leases that still hold; what is missing in the answer has been lost.
  Result<std::vector<Renewed>> Renew(const HostId& host, std::span<const Fence> fences, TimePoint deadline);

  /// True where the fence held. Idempotent in effect: a second call finds no running attempt.
  Result<std::vector<bool>> End(std::span<const RunEnd> ends, TimePoint deadline);

  /// What a running attempt has reached. False: the lease was lost, stop.
  Result<bool> Report(const Fence& fence, double progress, const std::string& stage, TimePoint deadline);
  /// Keeps what is done for later attempts. False as Report().
  Result<bool> SaveCheckpoint(const Fence& fence, const std::string& checkpoint, TimePoint deadline);

  /// A waiting job ends at once; a running one is told and ends at its next step. Terminal ones stay: the
  /// answer is the state after the call. kNotFound "job_unknown" when the tenant has no such job.
  Result<JobState> Cancel(const TenantId& tenant, const JobId& id, TimePoint deadline);
  /// Queues a failed or cancelled job once more with fresh budgets, as a new job; its id. `caller` is charged
  /// with it; null: who was charged with the old one.
  Result<JobId> Retry(const TenantId& tenant, const JobId& id, TimePoint deadline,
                      const tenancy::Caller* caller = nullptr);
  /// Forgets a job that has ended; its usage and a webhook that is on its way stay. kNotFound "job_unknown",
  /// kFailedPrecondition "job_not_ended".
  Result<void> Delete(const TenantId& tenant, const JobId& id, TimePoint deadline);

  struct Swept {
    std::size_t due = 0;          ///< Scheduled jobs whose time has come.
    std::size_t rescued = 0;      ///< Of hosts that have gone: queued again.
    std::size_t quarantined = 0;  ///< Crashed too often.
    std::size_t expired = 0;      ///< Deadlines that passed while waiting.
    std::size_t promoted = 0;     ///< Moved up by aging.
  };
  /// What time alone does; every host calls it every second or so. At most `limit` of each.
  Result<Swept> Sweep(std::size_t limit, TimePoint deadline);

  [[nodiscard]] const Options& options() const { return options_; }

 private:
  [[nodiscard]] std::vector<std::string> Choose(const storage::SqlRows& head, const ClaimRequest& request,
                                                WallTime now) const;

  const Options options_;
  storage::SqlDb& db_;
  const Clock& clock_;
};

}  // namespace mezzo::jobs
