#pragma once

#include <string>

#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::api {

/// Says what limit a call has met: RateLimit (`"name";r=<left>;t=<seconds>`) and RateLimit-Policy
/// (`"name";q=<amount>;qu="<unit>";w=<seconds>`) of draft-ietf-httpapi-ratelimit-headers-10. `t` is, of a
/// refusal, when to come back, otherwise until all is there again. Units: requests, concurrent-requests (both
/// the draft's), queued-requests, device-milliseconds, money. Nothing when no limit was met.
struct LimitTexts {
  std::string state;   ///< RateLimit; empty: no limit was met.
  std::string policy;  ///< RateLimit-Policy.
};
LimitTexts TextsOf(const tenancy::LimitState& limit);
void AddLimitHeaders(const tenancy::LimitState& limit, net::HttpResponse* response);

}  // namespace mezzo::api
