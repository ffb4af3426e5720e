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

net::HttpResponse NoRouteProblem(std::span<const Route> table, const net::HttpRequest& request,
                                 const RouteMatch& match, std::string wrong_method) {
  if (!match.path_known) {
    return ProblemResponse(NotFound("unknown_url", "there is no " + std::string(request.method_text()) + " " +
                                                       Printable(request.path())));
  }
  constexpr int kMethodNotAllowed = 405;
  net::HttpResponse response =
      ProblemResponse(kMethodNotAllowed, InvalidArgument("method_not_supported", std::move(wrong_method)));
  response.headers.emplace_back("Allow", AllowedMethods(table, request.path()));
  return response;
}

}  // namespace mezzo::api::platform
