#include "mezzo/app/trace_export.h"

#include <utility>

namespace mezzo::app {

OtlpExporter::OtlpExporter(std::string endpoint, std::string authorization, const Clock& clock)
    : endpoint_(std::move(endpoint)),
      authorization_(std::move(authorization)),
      clock_(clock),
      client_({.reach = net::AddressGuard::Reach::kPrivate, .allow_http = true}, clock) {}

Result<void> OtlpExporter::Export(std::string otlp_json, Duration timeout) {
  net::ClientRequest request;
  request.method = "POST";
  request.url = endpoint_;
  request.headers.emplace_back("Content-Type", "application/json");
  if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
  request.body = std::move(otlp_json);
  MEZZO_TRY(const net::ClientResponse response, client_.Send(request, clock_.Now() + timeout));
  if (response.status / 100 == 2) return {};
  std::string message = "the collector answered " + std::to_string(response.status);
  // OTLP/HTTP 1.x, "Retryable Response Codes".
  const bool may_pass = response.status == 429 || (response.status >= 502 && response.status <= 504);
  if (may_pass) return Unavailable("collector_refused", std::move(message));
  return FailedPrecondition("collector_refused", std::move(message));
}

}  // namespace mezzo::app
