#include "mezzo/api/openai/openai_error.h"

#include <string>

#include "mezzo/api/http_error.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/status_table.h"

namespace mezzo::api::openai {
namespace {

struct WireName {
  std::string_view reason;
  std::string_view name;
};

/// Reasons that OpenAI has a code for.
constexpr WireName kCodes[] = {{"model_unknown", "model_not_found"},
                               {"version_unknown", "model_not_found"},
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
                                {"dimensions_invalid", "dimensions"}};

template <std::size_t kCount>
std::string_view Find(const WireName (&names)[kCount], std::string_view reason) {
  for (const WireName& name : names) {
    if (name.reason == reason) return name.name;
  }
  return {};
}

std::string_view TypeOf(int status) {
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

}  // namespace

net::HttpResponse ErrorResponse(const Error& error) {
  return ErrorResponse(WireStatusOf(error.code()).http, error);
}

net::HttpResponse ErrorResponse(int status, const Error& error) {
  constexpr int kTooManyRequests = 429;
  constexpr int kServerError = 500;
  net::HttpResponse response = api::ErrorResponse(error);
  response.status = status;
  std::string_view code = Find(kCodes, error.reason());
  if (code.empty() && status == kTooManyRequests) code = "rate_limit_exceeded";
  if (code.empty()) code = error.reason();
  response.text = "{\"error\":{\"message\":";
  AppendJsonString(error.message(), &response.text);
  AppendMember("type", TypeOf(status), &response.text);
  AppendMember("param", Find(kParams, error.reason()), &response.text);
  AppendMember("code", code, &response.text);
  response.text += "}}";
  for (const auto& [name, value] : response.headers) {
    if (name != "X-Mezzo-Retry-After-Ms") continue;
    response.headers.emplace_back("retry-after-ms", value);
    break;
  }
  if (status >= kServerError && !error.IsRetryable())
    response.headers.emplace_back("x-should-retry", "false");
  return response;
}

}  // namespace mezzo::api::openai
