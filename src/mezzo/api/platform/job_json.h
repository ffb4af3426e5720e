#pragma once

#include <cstddef>
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

/// The value of an Idempotency-Key header: a structured field's string ("…" with quotes) or the bare text; 1
/// to 255 printable characters. Fails with kInvalidArgument "idempotency_key".
Result<std::string> ParseIdempotencyKey(std::string_view value);

/// One job as clients see it; results with `with_result`.
std::string JobJson(const jobs::Job& job, bool with_result);
/// {"object":"list","data":[…],"first_id","last_id","has_more"}
std::string PageJson(const jobs::JobReader::Page& page);

}  // namespace mezzo::api::platform
