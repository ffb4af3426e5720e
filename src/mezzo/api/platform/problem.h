#pragma once

#include <string_view>

#include "mezzo/api/protocol.h"
#include "mezzo/base/result.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::api::platform {

/// A failure as application/problem+json (RFC 9457) with the member `error` that OpenAI's clients read beside
/// it, the status of the table (422 for an idempotency key with another request) and the headers of
/// api::ErrorResponse().
net::HttpResponse ProblemResponse(const Error& error);

/// The same with the limit that refused, if one did: members `limit` (its name, kind, amount and, in seconds,
/// window) and `retry_after`, in seconds.
net::HttpResponse ProblemResponse(const Error& error, const tenancy::LimitState* limit);

/// The same with a status that the table does not give (405, 413).
net::HttpResponse ProblemResponse(int status, const Error& error);

/// Statuses that failures of one protocol have beside those of the table.
struct ProblemStatuses {
  /// kAlreadyExists, kFailedPrecondition and kAborted are 409: what is asked for does not go with what is
  /// there.
  bool conflicts = false;
  std::string_view stale;  ///< This reason is 412: somebody was faster. Empty: none.
};
/// The answer, or its failure as a problem.
net::HttpResponse ResponseOf(Result<net::HttpResponse> answer, const ProblemStatuses& statuses = {});

/// A protocol that refuses by problem details.
class ProblemProtocol : public Protocol {
 public:
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override { return ProblemResponse(error); }
  /// 404, or 405 with Allow.
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const RouteMatch& match) const override;
};

}  // namespace mezzo::api::platform
