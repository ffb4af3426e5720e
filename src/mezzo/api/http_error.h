#pragma once

#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"

namespace mezzo::api {

/// {"error":"<message>"} with the status of the table; Retry-After (whole seconds, rounded up) and
/// X-Mezzo-Retry-After-Ms when the error says when to come back; WWW-Authenticate with 401. The reason slug
/// goes into X-Mezzo-Reason.
net::HttpResponse ErrorResponse(const Error& error);

}  // namespace mezzo::api
