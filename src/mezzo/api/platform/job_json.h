#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::platform {

struct JobLimits {
  std::size_t max_request_bytes = std::size_t{4} << 20;  ///< Of what is stored for the handler.
  std::size_t max_depth = 32;
  Duration longest_deadline = std::chrono::hours(24 * 7);
  Duration longest_delay = std::chrono::hours(24 * 30);
};

/// Reads the body of POST /v1/jobs:
///
///     {"kind": "inference", "model": "m", "version": "", "input": {…}, "tier": "free",
///      "deadline_seconds": 600, "delay_seconds": 0, "webhook": {"url": "https://…", "secret": "whsec_…"}}
///
/// `kind` and `input` are required; unknown members are errors. The handler's request is
/// {"model", "version", "input"}. Errors: kInvalidArgument "job_request", naming the member, what it is and
/// what it must be.
Result<jobs::NewJob> ParseJob(std::string_view body, const tenancy::Tenant& tenant, WallTime now,
                              const JobLimits& limits);

/// The body of POST /v1/jobs that makes the video of `job` again with another shot `shot` (from 0), read from
/// that of POST /v1/jobs/{id}/shots/{n}/redo, which may be empty; every member is optional:
///
///     {"shot": {"prompt": "…"}, "painting": {"seed": 7}, "tier": "free", "webhook": {…}}
///
/// Errors: kInvalidArgument "job_request"; kFailedPrecondition "job_not_ended" unless `job` is a storyboard
/// that succeeded.
Result<std::string> RedoBody(const jobs::Job& job, std::uint64_t shot, std::string_view body,
                             const JobLimits& limits);

/// "2026-01-31T12:00:00.000Z".
std::string TimeText(WallTime time);
/// One job as clients see it; results with `with_result`.
std::string JobJson(const jobs::Job& job, bool with_result);
/// {"object":"list","data":[…],"first_id","last_id","has_more"}
std::string PageJson(const jobs::JobReader::Page& page);

}  // namespace mezzo::api::platform
