#include "mezzo/api/openai/openai_error.h"

#include <string>

#include "mezzo/api/http_error.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/status_table.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

struct WireName {
  std::string_view reason;
  std::string_view name;
};

/// Reasons that OpenAI has a code for.
constexpr WireName kCodes[] = {{"model_unknown", "model_not_found"},
                               {"version_unknown", "model_not_found"},
                               {"quota_exceeded", "insufficient_quota"},
                               {"key_missing", "invalid_api_key"},
                               {"key_unknown", "invalid_api_key"}};

/// The member of the request that a reason is about.
constexpr WireName kParams[] = {{"model_unknown", "model"},
                                {"model_missing", "model"},
                                {"model_not_embedding", "model"},
                                {"context_length_exceeded", "input"},
                                {"embedding_input_empty", "input"},
                                {"embedding_input_invalid", "input"},
                                {"embedding_too_many_inputs", "input"},
                                {"embedding_token_unknown", "input"},
                                {"encoding_format_invalid", "encoding_format"},
                                {"dimensions_invalid", "dimensions"},
                                {"prompt_too_long", "prompt"},
                                {"prompt_not_utf8", "prompt"},
                                {"sampler_unknown", "sampler"},
                                {"picture_invalid", "image"},
                                {"picture_too_large", "image"}};

template <std::size_t kCount>
std::string_view Find(const WireName (&names)[kCount], std::string_view reason) {
  for (const WireName& name : names) {
    if (name.reason == reason) return name.name;
  }
  return {};
}

std::string_view TypeOf(int status, std::string_view reason) {
  if (reason == "quota_exceeded") return "insufficient_quota";
  if (status == 429) return "rate_limit_error";
  if (status == 403) return "permission_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

void AppendMember(std::string_view name, std::string_view value, std::string* out) {
  out->append(",\"").append(name).append("\":");
  if (value.empty()) {
    out->append("null");
  } else {
    AppendJsonString(value, out);
  }
}

net::HttpResponse Respond(int status, const Error& error, std::string_view param) {
  constexpr int kServerError = 500;
  net::HttpResponse response = api::ErrorResponse(error);
  response.status = status;
  response.text = ErrorBody(status, error, param);
  for (const auto& [name, value] : response.headers) {
    if (name != "X-Mezzo-Retry-After-Ms") continue;
    response.headers.emplace_back("retry-after-ms", value);
    break;
  }
  if (status >= kServerError && !error.IsRetryable())
    response.headers.emplace_back("x-should-retry", "false");
  return response;
}

}  // namespace

std::string ErrorBody(int status, const Error& error, std::string_view param) {
  constexpr int kTooManyRequests = 429;
  std::string_view code = Find(kCodes, error.reason());
  if (code.empty() && status == kTooManyRequests) code = "rate_limit_exceeded";
  if (code.empty()) code = error.reason();
  std::string body = "{\"error\":{\"message\":";
  AppendJsonString(error.message(), &body);
  AppendMember("type", TypeOf(status, error.reason()), &body);
  AppendMember("param", param.empty() ? Find(kParams, error.reason()) : param, &body);
  AppendMember("code", code, &body);
  return body + "}}";
}

net::HttpResponse ErrorResponse(const Error& error) {
  return Respond(WireStatusOf(error.code()).http, error, "");
}

net::HttpResponse ErrorResponse(int status, const Error& error) { return Respond(status, error, ""); }

net::HttpResponse ErrorResponse(const Error& error, std::string_view param) {
  return Respond(WireStatusOf(error.code()).http, error, param);
}

net::HttpResponse NoRouteResponse(std::span<const Route> table, const net::HttpRequest& request,
                                  const RouteMatch& match) {
  const std::string what = "(" + std::string(request.method_text()) + " " + Printable(request.path()) + ")";
  if (!match.path_known) return ErrorResponse(NotFound("unknown_url", "unknown request URL: " + what));
  constexpr int kMethodNotAllowed = 405;
  const std::string allowed = AllowedMethods(table, request.path());
  net::HttpResponse response =
      ErrorResponse(kMethodNotAllowed,
                    InvalidArgument("method_not_supported", "this URL does not serve this method: " + what +
                                                                "; it serves " + allowed));
  response.headers.emplace_back("Allow", allowed);
  return response;
}

std::optional<net::HttpResponse> RefuseSize(const net::HttpRequest& head, ByteCount limit) {
  constexpr int kPayloadTooLarge = 413;
  const auto header = head.Header("Content-Length");
  const auto length = header ? ParseUint(Trim(*header)) : std::nullopt;
  if (!length || *length <= limit) return std::nullopt;
  return ErrorResponse(
      kPayloadTooLarge,
      InvalidArgument("request_too_large", "the body has " + std::to_string(*length) +
                                               " bytes; the limit is " + std::to_string(limit)));
}

}  // namespace mezzo::api::openai
