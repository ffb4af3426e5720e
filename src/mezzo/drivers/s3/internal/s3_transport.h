#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/s3/internal/sigv4.h"
#include "mezzo/drivers/s3/s3_options.h"
#include "mezzo/net/http_client.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/retry.h"

namespace mezzo::drivers::internal {

struct S3Metrics {
  explicit S3Metrics(observe::Registry& r)
      : requests(r.NewCounterFamily("mezzo_s3_requests_total", "Calls to the object store that ended.",
                                    {"operation", "outcome"}, 256)),
        seconds(r.NewHistogramFamily("mezzo_s3_request_seconds", "Duration of calls, their retries included.",
                                     {"operation"}, 32)),
        retries(r.NewCounterFamily("mezzo_s3_retries_total", "Attempts after the first.", {"operation"}, 32)),
        in_flight(r.NewGauge("mezzo_s3_requests_in_flight", "Calls that have not ended.")) {}

  observe::Family<observe::Counter>& requests;
  observe::Family<observe::Histogram>& seconds;
  observe::Family<observe::Counter>& retries;
  observe::Gauge& in_flight;
};

/// One request to the bucket.
struct S3Request {
  std::string_view operation;  ///< For metrics and messages: "get_object".
  std::string method;
  std::string key;  ///< In the bucket, not encoded; empty for the bucket itself.
  TextPairs query;
  TextPairs headers;  ///< Names in lower case.
  std::string body;
  net::UploadSource* upload = nullptr;  ///< Instead of `body`.
  std::string payload_sha256;           ///< Of `upload`, in hex.
  ByteCount answer_bytes = 0;           ///< Expected, for the time it may take.
};

/// Signs, sends, tries again what may pass by itself, and turns what stays into an exact error. Every
/// operation used here may be repeated. Thread-safe; blocks.
class S3Transport {
 public:
  /// Checked options. The clock and the registry must outlive it.
  S3Transport(const S3Options& options, const Clock& clock, observe::Registry& registry);

  /// An answer with status 2xx that is no error in disguise (S3 may answer 200 and then report a failure in
  /// the body). Otherwise:
  ///   kNotFound "blob_missing"; kOutOfRange "blob_range"; kAborted "blob_changed" (a condition no longer
  ///   holds); kDeadlineExceeded "blob_timeout"; kUnavailable "blob_store_unavailable" (after the last
  ///   attempt); kPermissionDenied "blob_access_denied"; kResourceExhausted "blob_store_full";
  ///   kFailedPrecondition "blob_store_misconfigured" (bucket, region, clock, storage class, offline object);
  ///   kDataLoss "blob_corrupt" (a checksum did not hold); kInternal "blob_answer_invalid".
  Result<net::ClientResponse> Send(const S3Request& request, TimePoint deadline);

  /// A URL for GET that anybody may use for `lifetime`.
  [[nodiscard]] Result<std::string> PresignGet(const std::string& key, TextPairs query,
                                               Duration lifetime) const;
  /// "/bucket/key", as a copy names its source.
  [[nodiscard]] std::string CopySource(const std::string& key) const;

 private:
  struct Attempt;

  Result<net::ClientResponse> SendWithRetries(const S3Request& request, TimePoint deadline);
  Attempt Try(const S3Request& request, TimePoint deadline);
  [[nodiscard]] SignedParts PartsFor(const std::string& method, const std::string& endpoint,
                                     const std::string& key, TextPairs query) const;
  [[nodiscard]] Result<SigningKeys> Keys() const;

  const S3Options& options_;
  const Clock& clock_;
  S3Metrics metrics_;
  runtime::RetryBudget budget_;
  net::HttpClient http_;
};

/// A failure as S3 reports it: from the status and the XML body, which may be empty (HEAD).
struct S3Failure {
  Error error;
  bool retryable = false;
};
S3Failure ReadFailure(std::string_view operation, const std::string& key, int status,
                      const std::string& body);

/// "host:port" of an endpoint, in lower case, the port always there; and the Host header's form, without the
/// scheme's own port.
struct EndpointHost {
  std::string scheme;
  std::string host_and_port;
  std::string header;
};
Result<EndpointHost> ParseEndpoint(std::string_view endpoint);

}  // namespace mezzo::drivers::internal
