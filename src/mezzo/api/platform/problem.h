#pragma once

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::platform {

/// A failure as application/problem+json (RFC 9457) with the member `error` that OpenAI's clients read beside
/// it, the status of the table (422 for an idempotency key with another request) and the headers of
/// api::ErrorResponse().
net::HttpResponse ProblemResponse(const Error& error);

/// The same with a status that the table does not give (405, 413).
net::HttpResponse ProblemResponse(int status, const Error& error);

}  // namespace mezzo::api::platform
