#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::jobs::internal {

/// A job that has just ended, with what its webhook and its account need.
struct EndedJob {
  JobId id;
  TenantId tenant;
  ProjectId project;
  KeyId key;
  std::string kind;
  std::string model;
  JobState state = JobState::kSucceeded;
  std::int64_t attempt = 0;
  std::string result;
  std::optional<JobError> error;
  std::string webhook_url;  ///< Empty: none.
  std::string webhook_secret;
};

/// Writes the webhooks of jobs that end, in the transaction that ends them. An event's id is made of the job
/// and its state, so that it can't be written twice.
Result<void> AddWebhooks(storage::SqlSession& session, storage::SqlDialect dialect,
                         const std::vector<EndedJob>& jobs, WallTime now);

/// The body of an event by Standard Webhooks 1.0.0: {"type": "job.succeeded", "timestamp", "data"}; below
/// 20 kB: a bigger result is left out and `result_omitted` set.
std::string WebhookBody(const EndedJob& job, WallTime now);

}  // namespace mezzo::jobs::internal
