#include "mezzo/app/metrics_page.h"

#include <memory>

#include "mezzo/api/http_error.h"
#include "mezzo/observe/exposition.h"

namespace mezzo::app {

net::BodyPlan MetricsPage::PlanBody(const net::HttpRequest& head) const {
  net::BodyPlan plan;
  plan.max_body = 0;
  if (head.path() != "/metrics") {
    plan.refusal = std::make_unique<net::HttpResponse>(net::HttpResponse::ErrorJson(404, "Not Found"));
    return plan;
  }
  if (head.method() != net::Method::kGet && head.method() != net::Method::kHead) {
    plan.refusal =
        std::make_unique<net::HttpResponse>(net::HttpResponse::ErrorJson(405, "Method Not Allowed"));
    plan.refusal->headers.emplace_back("Allow", "GET, HEAD");
    return plan;
  }
  const std::string_view credential =
      head.Header("Authorization").value_or(head.Header("X-Api-Key").value_or(std::string_view()));
  const auto admitted = tenancy::Admit(directory_, credential, head.is_loopback(), tenancy::Scope::kObserve);
  if (!admitted.ok())
    plan.refusal = std::make_unique<net::HttpResponse>(api::ErrorResponse(admitted.error()));
  return plan;
}

runtime::Task<net::HttpResponse> MetricsPage::Handle(runtime::Context /*ctx*/, net::HttpRequest* request) {
  const auto format = observe::ChooseFormat(request->Header("Accept").value_or(std::string_view()));
  net::HttpResponse response;
  response.content_type = observe::ContentType(format);
  response.text = observe::Render(registry_, format);
  response.compressible = true;
  co_return response;
}

}  // namespace mezzo::app
