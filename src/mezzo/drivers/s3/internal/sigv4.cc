#include "mezzo/drivers/s3/internal/sigv4.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <utility>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

/// "20130524T000000Z".
std::string IsoTime(WallTime now) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc);
  return {text.data(), size};
}

std::string Hmac(std::string_view key, std::string_view text) {
  return std::string(AsText(HmacSha256(key, text)));
}

struct Scope {
  std::string time;
  std::string text;  ///< "20130524/us-east-1/s3/aws4_request"
  std::string key;   ///< The signing key of that day and region.
};

Scope MakeScope(const SigningKeys& keys, std::string_view region, WallTime now) {
  Scope scope{.time = IsoTime(now), .text = "", .key = ""};
  const std::string date = scope.time.substr(0, 8);
  scope.text = date + "/" + std::string(region) + "/s3/aws4_request";
  scope.key = Hmac(Hmac(Hmac(Hmac("AWS4" + keys.secret_key, date), region), "s3"), "aws4_request");
  return scope;
}

std::string SignedNames(const TextPairs& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

/// `headers` sorted by name, host among them.
std::string Signature(const SignedParts& parts, const TextPairs& headers, const Scope& scope) {
  std::string canonical = parts.method + "\n" + parts.path + "\n" + EncodeQuery(parts.query) + "\n";
  for (const auto& [name, value] : headers) canonical += name + ":" + std::string(Trim(value)) + "\n";
  canonical += "\n" + SignedNames(headers) + "\n" + parts.payload;
  const std::string to_sign =
      std::string(kAlgorithm) + "\n" + scope.time + "\n" + scope.text + "\n" + Sha256Hex(canonical);
  return HexEncode(HmacSha256(scope.key, to_sign));
}

}  // namespace

std::string EncodePath(std::string_view path) {
  std::string encoded;
  bool first = true;
  for (const std::string_view part : Split(path, '/')) {
    if (!std::exchange(first, false)) encoded += '/';
    encoded += PercentEncode(part);
  }
  return encoded;
}

std::string EncodeQuery(const TextPairs& query) {
  TextPairs pairs;
  pairs.reserve(query.size());
  for (const auto& [name, value] : query) pairs.emplace_back(PercentEncode(name), PercentEncode(value));
  std::sort(pairs.begin(), pairs.end());
  std::string text;
  for (const auto& [name, value] : pairs)
    text.append(text.empty() ? "" : "&").append(name).append("=").append(value);
  return text;
}

void SignRequest(SignedParts& parts, const SigningKeys& keys, std::string_view region, WallTime now) {
  const Scope scope = MakeScope(keys, region, now);
  parts.headers.emplace_back("x-amz-date", scope.time);
  parts.headers.emplace_back("x-amz-content-sha256", parts.payload);
  if (!keys.session_token.empty()) parts.headers.emplace_back("x-amz-security-token", keys.session_token);
  TextPairs headers = parts.headers;
  headers.emplace_back("host", parts.host);
  std::sort(headers.begin(), headers.end());
  parts.headers.emplace_back("authorization", std::string(kAlgorithm) + " Credential=" + keys.access_key +
                                                  "/" + scope.text +
                                                  ",SignedHeaders=" + SignedNames(headers) +
                                                  ",Signature=" + Signature(parts, headers, scope));
}

std::string PresignedQuery(SignedParts parts, const SigningKeys& keys, std::string_view region, WallTime now,
                           Duration lifetime) {
  const Scope scope = MakeScope(keys, region, now);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(lifetime).count();
  parts.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  parts.query.emplace_back("X-Amz-Credential", keys.access_key + "/" + scope.text);
  parts.query.emplace_back("X-Amz-Date", scope.time);
  parts.query.emplace_back("X-Amz-Expires", std::to_string(seconds));
  parts.query.emplace_back("X-Amz-SignedHeaders", "host");
  if (!keys.session_token.empty()) parts.query.emplace_back("X-Amz-Security-Token", keys.session_token);
  parts.payload = "UNSIGNED-PAYLOAD";
  const TextPairs headers = {{"host", parts.host}};
  return EncodeQuery(parts.query) + "&X-Amz-Signature=" + Signature(parts, headers, scope);
}

}  // namespace mezzo::drivers::internal
