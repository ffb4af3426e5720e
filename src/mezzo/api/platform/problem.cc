#include "mezzo/api/platform/problem.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/http_error.h"
#include "mezzo/api/status_table.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

int StatusOf(const Error& error) {
  constexpr int kUnprocessable = 422;
  return error.reason() == "idempotency_mismatch" ? kUnprocessable : WireStatusOf(error.code()).http;
}

}  // namespace

net::HttpResponse ProblemResponse(const Error& error) { return ProblemResponse(StatusOf(error), error); }

net::HttpResponse ProblemResponse(int status, const Error& error) {
  const nlohmann::ordered_json problem = {{"type", "about:blank"},
                                          {"title", net::ReasonPhrase(status)},
                                          {"status", status},
                                          {"detail", error.message()},
                                          {"error",
                                           {{"message", error.message()},
                                            {"type", status < 500 ? "invalid_request_error" : "server_error"},
                                            {"param", nullptr},
                                            {"code", error.reason()}}}};
  net::HttpResponse response = ErrorResponse(error);
  response.status = status;
  response.content_type = "application/problem+json";
  response.text = problem.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

net::HttpResponse ProblemProtocol::RefuseRoute(const net::HttpRequest& head, const RouteMatch& match) const {
  const std::string what = std::string(head.method_text()) + " " + Printable(head.path());
  if (!match.path_known) return ProblemResponse(NotFound("unknown_url", "there is no " + what));
  constexpr int kMethodNotAllowed = 405;
  const std::string allowed = AllowedMethods(routes(), head.path());
  net::HttpResponse response = ProblemResponse(
      kMethodNotAllowed,
      InvalidArgument("method_not_supported", "there is no " + what + "; the path serves " + allowed));
  response.headers.emplace_back("Allow", allowed);
  return response;
}

}  // namespace mezzo::api::platform
