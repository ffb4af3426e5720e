#pragma once

#include <span>
#include <string>

#include "mezzo/api/router.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api::platform {

/// A failure as application/problem+json (RFC 9457) with the member `error` that OpenAI's clients read beside
/// it, the status of the table (422 for an idempotency key with another request) and the headers of
/// api::ErrorResponse().
net::HttpResponse ProblemResponse(const Error& error);

/// The same with a status that the table does not give (405, 413).
net::HttpResponse ProblemResponse(int status, const Error& error);

/// Of a request that no line of `table` serves: 404, or 405 with Allow and `wrong_method` as its message.
net::HttpResponse NoRouteProblem(std::span<const Route> table, const net::HttpRequest& request,
                                 const RouteMatch& match, std::string wrong_method);

}  // namespace mezzo::api::platform
