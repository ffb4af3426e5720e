#pragma once

#include <optional>
#include <string_view>

#include "mezzo/inference/inference_call.h"
#include "mezzo/net/http_types.h"
#include "mezzo/releases/header_lookup.h"

namespace mezzo::api {

/// What a model's route may look at of `request`, which outlives the call.
inline releases::HeaderLookup HeadersOf(const net::HttpRequest& request) {
  return {&request, [](const void* from, std::string_view name) {
            return static_cast<const net::HttpRequest*>(from)->Header(name);
          }};
}

/// X-Mezzo-Route: "arm;revision", of answers whose version a route has chosen.
inline void AddRouteHeader(const std::string& route, net::HttpResponse& response) {
  if (!route.empty()) response.headers.emplace_back("X-Mezzo-Route", route);
}

}  // namespace mezzo::api
