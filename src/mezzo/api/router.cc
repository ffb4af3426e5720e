#include "mezzo/api/router.h"

#include <algorithm>

namespace mezzo::api {
namespace {

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Takes the first segment (without its slash) off `rest`, which starts with '/'.
std::string_view TakeSegment(std::string_view& rest) {
  const std::size_t end = rest.find('/', 1);
  const std::string_view segment = rest.substr(1, end == std::string_view::npos ? end : end - 1);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  return segment;
}

bool Fits(std::string_view pattern, std::string_view path,
          std::array<std::string_view, RouteMatch::kMaxCaptures>& captures) {
  std::size_t captured = 0;
  while (!pattern.empty() && !path.empty()) {
    const std::string_view want = TakeSegment(pattern);
    if (want == "**") {
      const std::string_view rest = path.substr(1);
      if (rest.empty() || rest.front() == '/' || rest.back() == '/') return false;
      captures[captured++] = rest;
      return pattern.empty();
    }
    const std::string_view have = TakeSegment(path);
    if (want == "*" || want == "#") {
      if (have.empty() || (want == "#" && !AllDigits(have))) return false;
      captures[captured++] = have;
    } else if (want != have) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

std::string_view MethodName(net::Method method) {
  switch (method) {
    case net::Method::kGet:
      return "GET";
    case net::Method::kHead:
      return "HEAD";
    case net::Method::kPost:
      return "POST";
    case net::Method::kPut:
      return "PUT";
    case net::Method::kDelete:
      return "DELETE";
    case net::Method::kPatch:
      return "PATCH";
    case net::Method::kOptions:
      return "OPTIONS";
    case net::Method::kOther:
      break;
  }
  return "";
}

}  // namespace

RouteMatch MatchRoute(std::span<const Route> table, net::Method method, std::string_view path) {
  RouteMatch match;
  if (path.empty() || path.front() != '/') return match;
  for (const Route& route : table) {
    // A cheap look first: tables are scanned for every request.
    if (match.path_known && route.method != method) continue;
    if (!Fits(route.pattern, path, match.captures)) continue;
    match.path_known = true;
    if (route.method == method) {
      match.route = &route;
      return match;
    }
  }
  return match;
}

std::string AllowedMethods(std::span<const Route> table, std::string_view path) {
  std::string allowed;
  std::array<std::string_view, RouteMatch::kMaxCaptures> captures;
  for (const Route& route : table) {
    if (path.empty() || path.front() != '/' || !Fits(route.pattern, path, captures)) continue;
    const std::string_view name = MethodName(route.method);
    if (allowed.find(name) != std::string::npos) continue;
    if (!allowed.empty()) allowed += ", ";
    allowed += name;
  }
  return allowed;
}

net::HttpResponse NoRouteResponse(std::span<const Route> table, std::string_view path,
                                  const RouteMatch& match) {
  if (!match.path_known) return net::HttpResponse::ErrorJson(404, "Not Found");
  net::HttpResponse response = net::HttpResponse::ErrorJson(405, "Method Not Allowed");
  response.headers.emplace_back("Allow", AllowedMethods(table, path));
  return response;
}

}  // namespace mezzo::api
