#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"

namespace mezzo::drivers::internal {

/// Who asks. Never shown in an error or a log.
struct SigningKeys {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  ///< Of temporary credentials; may be empty.
};

using TextPairs = std::vector<std::pair<std::string, std::string>>;

/// The parts of a request that are signed.
struct SignedParts {
  std::string method;
  std::string host;     ///< As in the Host header: with the port unless it is the scheme's own.
  std::string path;     ///< Starts with '/', encoded once.
  TextPairs query;      ///< Not encoded.
  TextPairs headers;    ///< Names in lower case, without host.
  std::string payload;  ///< The body's SHA-256 in hex, or "UNSIGNED-PAYLOAD".
};

/// AWS Signature Version 4 for S3 ("Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
/// Reference). curl's own signer of Debian 12 neither presigns nor sorts and encodes the query, and takes its
/// time from the system's clock.

/// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and authorization to the headers.
void SignRequest(SignedParts& parts, const SigningKeys& keys, std::string_view region, WallTime now);

/// The query, encoded, with which `parts` (without headers) may be asked by anybody for `lifetime` (whole
/// seconds).
std::string PresignedQuery(SignedParts parts, const SigningKeys& keys, std::string_view region, WallTime now,
                           Duration lifetime);

/// "a=1&b=2": encoded, in the order of the encoded names.
std::string EncodeQuery(const TextPairs& query);
/// A path whose slashes stay.
std::string EncodePath(std::string_view path);

}  // namespace mezzo::drivers::internal
