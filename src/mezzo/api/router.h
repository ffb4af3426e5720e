#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mezzo/base/bytes.h"
#include "mezzo/net/http_types.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api {

/// One line of a protocol's route table. In `pattern` a segment "*" is any one segment and "#" one of digits
/// only; "**", at the end, is one or more of any kind, captured as one; everything else is literal. What no
/// line names is refused.
struct Route {
  net::Method method = net::Method::kGet;
  std::string_view pattern;
  /// What the caller's key must allow; nothing: open to everybody (health probes).
  std::optional<tenancy::Scope> scope;
  ByteCount max_body = 0;
  int id = 0;  ///< The protocol's own name for the handler.
};

struct RouteMatch {
  static constexpr std::size_t kMaxCaptures = 4;

  const Route* route = nullptr;
  bool path_known = false;  ///< With no route: some other method is served here.
  /// The segments under "*", "#" and "**", in order; they point into the path.
  std::array<std::string_view, kMaxCaptures> captures;
};

/// The first line that fits, in the table's order. Allocates nothing.
[[nodiscard]] RouteMatch MatchRoute(std::span<const Route> table, net::Method method, std::string_view path);

/// For the Allow header: "GET, POST".
[[nodiscard]] std::string AllowedMethods(std::span<const Route> table, std::string_view path);

/// 404 {"error":"Not Found"}, or 405 {"error":"Method Not Allowed"} with Allow.
[[nodiscard]] net::HttpResponse NoRouteResponse(std::span<const Route> table, std::string_view path,
                                                const RouteMatch& match);

}  // namespace mezzo::api
