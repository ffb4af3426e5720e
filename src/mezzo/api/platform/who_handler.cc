#include "mezzo/api/platform/who_handler.h"

#include <array>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/identity_json.h"

namespace mezzo::api::platform {
namespace {

constexpr ByteCount kIgnoredBody = 1024;
constexpr std::array<Route, 1> kRoutes = {
    Route{net::Method::kGet, "/v1/whoami", tenancy::Scope::kRead, kIgnoredBody, 0}};

}  // namespace

std::span<const Route> WhoHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> WhoHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  const auto json = ToJson(*call.caller);
  co_return net::HttpResponse::Json(
      200, json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace mezzo::api::platform
