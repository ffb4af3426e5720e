#include "mezzo/drivers/s3/internal/s3_transport.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/xml.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers::internal {
namespace {

constexpr Duration kLongestTransfer = std::chrono::hours(12);
constexpr int kOk = 200;
constexpr int kFirstRedirect = 300;

bool IsOneOf(std::string_view value, std::initializer_list<std::string_view> set) {
  return std::find(set.begin(), set.end(), value) != set.end();
}

net::HttpClient::Options HttpOptions(const S3Options& options) {
  const EndpointHost endpoint = *ParseEndpoint(options.endpoint);
  net::HttpClient::Options http;
  http.reach =
      options.private_network ? net::AddressGuard::Reach::kPrivate : net::AddressGuard::Reach::kPublic;
  http.allow_http = endpoint.scheme == "http";
  http.only_hosts = {options.path_style ? endpoint.host_and_port
                                        : options.bucket + "." + endpoint.host_and_port};
  http.connect_timeout = options.connect_timeout;
  http.total_timeout = kLongestTransfer;  // Every call has its own, shorter one.
  http.max_response_bytes = std::max<std::size_t>(options.read_bytes, std::size_t{16} << 20);
  http.ca_file = options.ca_file;
  return http;
}

/// Some operations answer 200 at once, to keep the connection alive, and report a failure in the body.
bool IsErrorInDisguise(const S3Request& request, const net::ClientResponse& response) {
  if (!IsOneOf(request.operation, {"copy_object", "complete_upload"})) return false;
  const auto root = ParseXml(response.body);
  return !root.ok() || root->name == "Error";
}

}  // namespace

Result<EndpointHost> ParseEndpoint(std::string_view endpoint) {
  const auto fail = [&] {
    return InvalidArgument(
        "blob_store_options_invalid",
        "the endpoint '" + Printable(endpoint) + "' must be http:// or https:// with a host and no path");
  };
  const bool https = endpoint.starts_with("https://");
  if (!https && !endpoint.starts_with("http://")) return fail();
  EndpointHost parsed{.scheme = https ? "https" : "http", .host_and_port = "", .header = ""};
  const std::string rest = ToLower(endpoint.substr(parsed.scheme.size() + 3));
  const std::size_t colon = rest.starts_with('[') ? rest.find(':', rest.find(']')) : rest.find(':');
  const std::string host = rest.substr(0, colon);
  const std::string own = https ? "443" : "80";
  const std::string port = colon == std::string::npos ? own : rest.substr(colon + 1);
  const auto number = ParseUint(port);
  const bool plain = host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-[]:") == std::string::npos;
  if (host.empty() || !plain || !number || *number == 0 || *number > 65535 ||
      std::to_string(*number) != port) {
    return fail();
  }
  parsed.host_and_port = host + ":" + port;
  parsed.header = port == own ? host : parsed.host_and_port;
  return parsed;
}

S3Failure ReadFailure(std::string_view operation, const std::string& key, int status,
                      const std::string& body) {
  const auto root = ParseXml(body);
  const std::string code = root.ok() ? std::string(root->ChildText("Code")) : "";
  std::string what = "the object store answered " + std::string(operation) + " of '" + key + "' with " +
                     (code.empty() ? "status " + std::to_string(status) : Printable(code, 64));
  if (root.ok() && root->Child("Message") != nullptr)
    what += ": " + Printable(root->ChildText("Message"), 256);

  if (IsOneOf(code,
              {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"})) {
    return {.error = Unavailable("blob_store_unavailable", what), .retryable = true};
  }
  if (IsOneOf(code, {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})) {
    return {.error = Error(Code::kDataLoss, "blob_corrupt", what), .retryable = true};  // Damaged on the way.
  }
  if (IsOneOf(code,
              {"NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed",
               "InvalidStorageClass", "InvalidObjectState", "IllegalLocationConstraintException"}) ||
      (status >= kFirstRedirect && status < 400)) {
    return {.error = FailedPrecondition("blob_store_misconfigured", what)};
  }
  if (IsOneOf(code, {"XMinioStorageFull", "QuotaExceeded"}) || status == 507) {
    return {.error = ResourceExhausted("blob_store_full", what)};
  }
  if (code == "EntityTooLarge") return {.error = InvalidArgument("blob_too_large", what)};
  switch (status) {
    case 401:
    case 403:
      return {.error = PermissionDenied("blob_access_denied", what)};
    case 404:
      return {.error = NotFound("blob_missing", what)};
    case 409:
    case 412:
      return {.error = Error(Code::kAborted, "blob_changed", what)};
    case 416:
      return {.error = Error(Code::kOutOfRange, "blob_range", what)};
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return {.error = Unavailable("blob_store_unavailable", what), .retryable = true};
    default:
      return {.error = Internal("blob_answer_invalid", what)};
  }
}

S3Transport::S3Transport(const S3Options& options, const Clock& clock, observe::Registry& registry)
    : options_(options),
      clock_(clock),
      metrics_(registry),
      budget_(options.retry_budget),
      http_(HttpOptions(options), clock) {}

Result<SigningKeys> S3Transport::Keys() const {
  MEZZO_TRY(S3Credentials credentials, options_.credentials());
  return SigningKeys{.access_key = std::move(credentials.access_key),
                     .secret_key = std::move(credentials.secret_key),
                     .session_token = std::move(credentials.session_token)};
}

SignedParts S3Transport::PartsFor(const std::string& method, const std::string& endpoint,
                                  const std::string& key, TextPairs query) const {
  const EndpointHost at = *ParseEndpoint(endpoint);  // Checked at the start.
  SignedParts parts{.method = method,
                    .host = at.header,
                    .path = "/",
                    .query = std::move(query),
                    .headers = {},
                    .payload = ""};
  if (options_.path_style) {
    parts.path += options_.bucket + (key.empty() ? "" : "/");
  } else {
    parts.host.insert(0, options_.bucket + ".");
  }
  parts.path += EncodePath(key);
  return parts;
}

std::string S3Transport::CopySource(const std::string& key) const {
  return "/" + options_.bucket + "/" + EncodePath(key);
}

Result<std::string> S3Transport::PresignGet(const std::string& key, TextPairs query,
                                            Duration lifetime) const {
  MEZZO_TRY(const SigningKeys keys, Keys());
  const std::string& endpoint = options_.url_endpoint.empty() ? options_.endpoint : options_.url_endpoint;
  const SignedParts parts = PartsFor("GET", endpoint, key, std::move(query));
  return ParseEndpoint(endpoint)->scheme + "://" + parts.host + parts.path + "?" +
         PresignedQuery(parts, keys, options_.region, clock_.WallNow(), lifetime);
}

Result<net::ClientResponse> S3Transport::Send(const S3Request& request, TimePoint deadline) {
  const TimePoint start = clock_.Now();
  metrics_.in_flight.Add(1);
  auto result = SendWithRetries(request, deadline);
  metrics_.in_flight.Add(-1);
  metrics_.seconds.With({request.operation}).Observe(clock_.Now() - start);
  metrics_.requests.With({request.operation, result.ok() ? "ok" : std::string_view(result.error().reason())})
      .Add();
  return result;
}

struct S3Transport::Attempt {
  Result<net::ClientResponse> result;
  bool retryable = false;
};

Result<net::ClientResponse> S3Transport::SendWithRetries(const S3Request& request, TimePoint deadline) {
  budget_.OnCall();
  runtime::Backoff backoff(options_.backoff);
  for (int tries = 1;; ++tries) {
    MEZZO_TRY_VOID(storage::CheckDeadline(clock_, deadline));
    Attempt attempt = Try(request, deadline);
    if (!attempt.retryable || tries >= options_.max_attempts) return std::move(attempt.result);
    const Duration pause = backoff.Next();
    if (AddSaturating(clock_.Now(), pause) >= deadline || !budget_.TryRetry())
      return std::move(attempt.result);
    metrics_.retries.With({request.operation}).Add();
    std::this_thread::sleep_for(pause);
  }
}

S3Transport::Attempt S3Transport::Try(const S3Request& request, TimePoint deadline) {
  auto keys = Keys();
  if (!keys.ok()) return {.result = std::move(keys).error()};
  SignedParts parts = PartsFor(request.method, options_.endpoint, request.key, request.query);
  parts.headers = request.headers;
  parts.payload = request.upload != nullptr ? request.payload_sha256 : Sha256Hex(request.body);
  SignRequest(parts, *keys, options_.region, clock_.WallNow());

  net::ClientRequest http;
  http.method = request.method;
  http.url = ParseEndpoint(options_.endpoint)->scheme + "://" + parts.host + parts.path;
  if (!parts.query.empty()) http.url += "?" + EncodeQuery(parts.query);
  http.headers = std::move(parts.headers);
  http.body = request.body;
  http.upload = request.upload;

  const ByteCount bytes = request.answer_bytes + (request.upload != nullptr ? request.upload->size() : 0);
  const Duration transfer =
      FromSeconds(static_cast<double>(bytes) / static_cast<double>(options_.min_bytes_per_second));
  const TimePoint limit = AddSaturating(clock_.Now(), options_.answer_timeout + transfer);
  auto response = http_.Send(http, std::min(deadline, limit));
  if (!response.ok()) {
    const Error& error = response.error();
    if (error.reason() == "http_timeout" && clock_.Now() >= deadline)
      return {.result = storage::BlobTimeout()};
    if (error.reason() == "http_timeout" || error.reason() == "http_failed") {
      return {.result = Unavailable("blob_store_unavailable", "the object store: " + error.message()),
              .retryable = true};
    }
    if (error.reason() == "address_not_allowed" || error.reason() == "bad_url") {
      return {.result =
                  FailedPrecondition("blob_store_misconfigured", "the object store: " + error.message())};
    }
    if (error.reason() == "response_too_large") {
      return {.result = Internal("blob_answer_invalid", "the object store: " + error.message())};
    }
    return {.result = std::move(response)};  // The error of the upload's source.
  }
  const int status = response->status;
  if (status >= kOk && status < kFirstRedirect && !IsErrorInDisguise(request, *response)) {
    return {.result = std::move(response)};
  }
  // An error in disguise is a fault of the store unless its code says otherwise.
  S3Failure failure =
      ReadFailure(request.operation, request.key, status < kFirstRedirect ? 500 : status, response->body);
  return {.result = std::move(failure.error), .retryable = failure.retryable};
}

}  // namespace mezzo::drivers::internal
