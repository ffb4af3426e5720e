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

/// OpenAI's names for what a client may do about it.
std::string_view TypeOf(int status, const Error& error) {
  constexpr int kTooMany = 429;
  if (error.reason() == "quota_exceeded") return "insufficient_quota";
  if (status == kTooMany) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

net::HttpResponse Respond(int status, const Error& error, const tenancy::LimitState* limit) {
  nlohmann::ordered_json problem = {{"type", "about:blank"},
                                    {"title", net::ReasonPhrase(status)},
                                    {"status", status},
                                    {"detail", error.message()},
                                    {"error",
                                     {{"message", error.message()},
                                      {"type", TypeOf(status, error)},
                                      {"param", nullptr},
                                      {"code", error.reason()}}}};
  if (limit != nullptr && limit->refused) {
    problem["limit"] = {{"name", limit->name},
                        {"kind", tenancy::LimitKindName(limit->kind)},
                        {"amount", limit->amount},
                        {"window_seconds", Seconds(limit->window)}};
    problem["retry_after"] = Seconds(limit->reset);
  }
  net::HttpResponse response = ErrorResponse(error);
  response.status = status;
  response.content_type = "application/problem+json";
  response.text = problem.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

}  // namespace

net::HttpResponse ProblemResponse(const Error& error) { return Respond(StatusOf(error), error, nullptr); }

net::HttpResponse ProblemResponse(const Error& error, const tenancy::LimitState* limit) {
  return Respond(StatusOf(error), error, limit);
}

net::HttpResponse ProblemResponse(int status, const Error& error) { return Respond(status, error, nullptr); }

net::HttpResponse ResponseOf(Result<net::HttpResponse> answer, const ProblemStatuses& statuses) {
  if (answer.ok()) return std::move(answer).value();
  constexpr int kConflict = 409;
  constexpr int kPreconditionFailed = 412;
  const Error& error = answer.error();
  if (!statuses.stale.empty() && error.reason() == statuses.stale) {
    return ProblemResponse(kPreconditionFailed, error);
  }
  const bool conflict = error.code() == Code::kAlreadyExists || error.code() == Code::kFailedPrecondition ||
                        error.code() == Code::kAborted;
  return statuses.conflicts && conflict ? ProblemResponse(kConflict, error) : ProblemResponse(error);
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
