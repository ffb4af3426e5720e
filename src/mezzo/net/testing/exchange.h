#pragma once

#include <utility>

#include "mezzo/net/http_types.h"
#include "mezzo/net/internal/request_assembler.h"
#include "mezzo/net/testing/made_request.h"
#include "mezzo/runtime/task.h"

namespace mezzo::net::testing {

/// Asks `handler` for its plan, as a server does when the head is there. The refusal, if there is one.
inline std::unique_ptr<HttpResponse> PlanOf(const HttpHandler& handler, MadeRequest& request) {
  BodyPlan plan = handler.PlanBody(*request);
  RequestAssembler::SetFinding(request.get(), std::move(plan.finding));
  return std::move(plan.refusal);
}

/// Both halves of an exchange, on this thread.
inline HttpResponse Exchange(HttpHandler& handler, MadeRequest& request,
                             const runtime::Context& ctx = runtime::Context()) {
  if (auto refusal = PlanOf(handler, request)) return std::move(*refusal);
  return runtime::SyncWait(handler.Handle(ctx, request.get()));
}

}  // namespace mezzo::net::testing
