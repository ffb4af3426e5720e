#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs {

/// The queue as callers see it. Any host answers for any job. Blocks; thread-safe.
class JobReader {
 public:
  /// `db` outlives the reader.
  explicit JobReader(storage::SqlDb& db) : db_(db) {}

  /// kNotFound "job_unknown" also for another tenant's job.
  Result<Job> Get(const TenantId& tenant, const JobId& id, TimePoint deadline);

  struct ListRequest {
    TenantId tenant;
    std::optional<JobState> state;
    std::string kind;  ///< Empty: any.
    JobId after;       ///< The last id of the page before; empty: the first page.
    std::size_t limit = 20;
    bool newest_first = true;
  };
  struct Page {
    std::vector<Job> jobs;  ///< Without requests, checkpoints and results.
    bool has_more = false;
  };
  Result<Page> List(const ListRequest& request, TimePoint deadline);

  struct Version {
    JobId id;
    std::int64_t version = 0;
    JobState state = JobState::kQueued;
  };
  /// Of those that exist, whatever the tenant: for watchers that have looked a job up before.
  Result<std::vector<Version>> Versions(std::span<const JobId> ids, TimePoint deadline);

  struct Depth {
    Tier lane = Tier::kFree;
    std::size_t queued = 0;
    std::optional<WallTime> oldest;
  };
  /// What waits, by lane, up to `limit` of each lane counted.
  Result<std::vector<Depth>> Depths(std::size_t limit, TimePoint deadline);

  struct Waiting {
    TenantId tenant;
    std::string model;
    std::size_t queued = 0;
  };
  /// What waits, by tenant and model.
  Result<std::vector<Waiting>> WaitingByTenant(TimePoint deadline);

 private:
  storage::SqlDb& db_;
};

}  // namespace mezzo::jobs
