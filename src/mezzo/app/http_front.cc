#include "mezzo/app/http_front.h"

#include <memory>

#include "mezzo/app/browser_guard.h"

namespace mezzo::app {

net::HttpHandler* HttpFront::Find(std::string_view path) const {
  for (const auto& protocol : protocols_) {
    for (const auto prefix : protocol.prefixes) {
      if (path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/')) {
        return protocol.handler;
      }
    }
  }
  return nullptr;
}

net::BodyPlan HttpFront::PlanBody(const net::HttpRequest& head) const {
  if (guard_browsers_) {
    if (auto refusal = RefuseForeignPage(head)) {
      net::BodyPlan refused;
      refused.refusal = std::move(refusal);
      return refused;
    }
  }
  if (const net::HttpHandler* handler = Find(head.path())) return handler->PlanBody(head);
  net::BodyPlan plan;
  plan.refusal = std::make_unique<net::HttpResponse>(net::HttpResponse::ErrorJson(404, "Not Found"));
  return plan;
}

runtime::Task<net::HttpResponse> HttpFront::Handle(runtime::Context ctx, net::HttpRequest* request) {
  net::HttpHandler* handler = Find(request->path());
  MEZZO_CHECK(handler != nullptr);  // PlanBody refused everything else.
  return handler->Handle(std::move(ctx), request);
}

}  // namespace mezzo::app
