#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/tenancy/limit.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::jobs {

/// A UUIDv7: text order is the order of creation.
using JobId = StrongId<struct JobIdTag>;
/// A process that runs jobs, new at each start.
using HostId = StrongId<struct HostIdTag>;

/// Who goes first. A job that waits long moves up (Aging), so that no tier starves.
enum class Tier : std::uint8_t { kPaid = 1, kUrgent = 2, kFree = 3 };
Result<Tier> ParseTier(std::string_view text);  ///< "paid", "urgent", "free".
std::string_view TierName(Tier tier);

/// Legal transitions; the last three are terminal and never change again:
///
///     scheduled → queued → running → succeeded | failed | cancelled
///     running → scheduled   a fault that can pass, within the retry budget
///     running → queued      its host has gone or is stopping
///     scheduled, queued → cancelled | failed (deadline)
enum class JobState : std::uint8_t { kScheduled, kQueued, kRunning, kSucceeded, kFailed, kCancelled };
Result<JobState> ParseState(std::string_view text);
std::string_view StateName(JobState state);
constexpr bool IsTerminal(JobState state) { return state >= JobState::kSucceeded; }

/// What a write must hold to count: the job, running, in this very attempt. A host that lost its lease has an
/// attempt of the past, and its writes change nothing.
struct Fence {
  JobId id;
  std::int64_t attempt = 0;
};

/// Where the end of a job is told (Standard Webhooks).
struct WebhookTarget {
  std::string url;
  std::string secret;  ///< "whsec_…"; empty: the tenant's.
};

/// What a caller asks for.
struct NewJob {
  TenantId tenant;
  ProjectId project;  ///< Charged, with the key; empty: none. JobService::Submit() takes both from `caller`.
  KeyId key;
  double weight = 1;  ///< Of the tenant, at submission.
  std::string kind;   ///< Names the handler: "infer", "image", "video".
  std::string model;  ///< Empty: none.
  Tier tier = Tier::kFree;
  double cost = 0;      ///< Predicted device seconds.
  std::string request;  ///< JSON, the handler's.
  std::optional<WallTime> deadline;
  std::optional<WallTime> run_after;
  std::optional<WebhookTarget> webhook;
  std::string idempotency_key;  ///< Empty: none. Unique within the tenant.
  std::string fingerprint;      ///< Of the request, compared when the key comes again.
  tenancy::CallerRef caller;    ///< Whose limits and tiers hold; null: none do. Not stored.
  /// Where the service leaves what limit the job has met; null: nowhere. Outlives the call.
  tenancy::LimitState* limit = nullptr;
};

/// How a run went wrong, as the caller sees it.
struct JobError {
  std::string reason;
  std::string message;
};

/// A job as the database has it.
struct Job {
  JobId id;
  TenantId tenant;
  ProjectId project;  ///< Of who queued it, with the key; empty: none.
  KeyId key;
  std::string kind;
  std::string model;
  Tier tier = Tier::kFree;
  JobState state = JobState::kQueued;
  double cost = 0;
  WallTime created;
  std::optional<WallTime> started;  ///< Of the newest attempt.
  std::optional<WallTime> finished;
  std::optional<WallTime> deadline;
  std::optional<WallTime> run_after;
  std::int64_t attempt = 0;  ///< Runs begun.
  std::int64_t errors = 0;   ///< Of the retry budget, used.
  std::int64_t crashes = 0;  ///< Of the crash budget, used.
  bool cancel_requested = false;
  double progress = 0;  ///< 0 to 1.
  std::string stage;    ///< What the newest attempt does, the handler's word.
  std::string request;
  std::string checkpoint;  ///< JSON, the handler's: what is done and needs not be done again. Empty: nothing.
  std::string result;      ///< JSON, the handler's; empty until the job has succeeded.
  std::optional<JobError> error;
  std::int64_t version = 0;  ///< Grows with every change that a watcher may want to see.
};

/// A job that this host holds: it may run it until `until`, and longer by renewing.
struct LeasedJob {
  Fence fence;
  TenantId tenant;
  ProjectId project;  ///< Charged, with the key; empty: none.
  KeyId key;
  std::string kind;
  std::string model;
  Tier tier = Tier::kFree;
  double cost = 0;
  double weight = 1;
  std::optional<WallTime> deadline;
  std::int64_t errors = 0;
  std::string request;
  std::string checkpoint;
  bool cancel_requested = false;
  std::int64_t lane = 0;  ///< As `tier`, or above it after a long wait.
};

}  // namespace mezzo::jobs
