#include "mezzo/api/http_error.h"

#include <string>
#include <string_view>

#include "mezzo/api/status_table.h"

namespace mezzo::api {

net::HttpResponse ErrorResponse(const Error& error) {
  const int status = WireStatusOf(error.code()).http;
  net::HttpResponse response = net::HttpResponse::ErrorJson(status, error.message());
  response.headers.emplace_back("X-Mezzo-Reason", error.reason());
  if (error.retry_after().has_value() && error.retry_after()->count() >= 0) {
    constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
    constexpr std::int64_t kNanosPerMilli = 1'000'000;
    const std::int64_t nanos = error.retry_after()->count();
    const auto round_up = [nanos](std::int64_t unit) { return nanos / unit + (nanos % unit != 0 ? 1 : 0); };
    response.headers.emplace_back("Retry-After", std::to_string(round_up(kNanosPerSecond)));
    response.headers.emplace_back("X-Mezzo-Retry-After-Ms", std::to_string(round_up(kNanosPerMilli)));
  }
  if (status == 401) {
    // RFC 6750 section 3: an error only when there was a token.
    const bool token = std::string_view(error.reason()).starts_with("token_");
    response.headers.emplace_back("WWW-Authenticate", token ? R"(Bearer realm="mezzo", error="invalid_token")"
                                                            : R"(Bearer realm="mezzo")");
  }
  return response;
}

}  // namespace mezzo::api
