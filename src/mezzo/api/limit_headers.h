#pragma once

#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::api {

/// Says what limit a call has met: RateLimit (`"name";r=<left>;t=<seconds>`) and RateLimit-Policy
/// (`"name";q=<amount>;qu="<unit>";w=<seconds>`) of draft-ietf-httpapi-ratelimit-headers-10. `t` is, of a
/// refusal, when to come back, otherwise until all is there again. Units: requests, concurrent-requests (both
/// the draft's), device-milliseconds, money. Nothing when no limit was met.
void AddLimitHeaders(const tenancy::LimitState& limit, net::HttpResponse* response);

}  // namespace mezzo::api
