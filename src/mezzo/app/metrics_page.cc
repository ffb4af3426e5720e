#include "mezzo/app/metrics_page.h"

#include <array>

#include "mezzo/api/http_error.h"
#include "mezzo/observe/exposition.h"

namespace mezzo::app {
namespace {

constexpr std::array<api::Route, 2> kRoutes = {
    api::Route{net::Method::kGet, "/metrics", tenancy::Scope::kObserve, 0, 0},
    api::Route{net::Method::kHead, "/metrics", tenancy::Scope::kObserve, 0, 0}};

}  // namespace

std::span<const api::Route> MetricsPage::routes() const { return kRoutes; }

net::HttpResponse MetricsPage::Refuse(const Error& error) const { return api::ErrorResponse(error); }

net::HttpResponse MetricsPage::RefuseRoute(const net::HttpRequest& head, const api::RouteMatch& match) const {
  return api::NoRouteResponse(kRoutes, head.path(), match);
}

runtime::Task<net::HttpResponse> MetricsPage::Handle(runtime::Context /*ctx*/, api::RoutedCall call) {
  const auto format = observe::ChooseFormat(call.request->Header("Accept").value_or(std::string_view()));
  net::HttpResponse response;
  response.content_type = observe::ContentType(format);
  response.text = observe::Render(registry_, format);
  response.compressible = true;
  co_return response;
}

}  // namespace mezzo::app
