#include "mezzo/drivers/s3/internal/object_headers.h"

#include <charconv>
#include <optional>

#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::string_view kSha256 = "x-amz-meta-mezzo-sha256";
constexpr std::string_view kStored = "x-amz-meta-mezzo-stored";
constexpr std::string_view kExpires = "x-amz-meta-mezzo-expires";

std::string FormatTime(WallTime time) { return std::to_string(time.time_since_epoch().count()); }

std::optional<WallTime> ParseTime(std::string_view text) {
  std::int64_t nanos = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), nanos);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return WallTime(Duration(nanos));
}

}  // namespace

TextPairs HeadersOf(const storage::BlobFacts& facts) {
  TextPairs headers = {{"content-type", facts.content_type},
                       {std::string(kSha256), facts.sha256},
                       {std::string(kStored), FormatTime(facts.stored_at)}};
  if (facts.expires_at) headers.emplace_back(kExpires, FormatTime(*facts.expires_at));
  return headers;
}

Result<storage::BlobFacts> FactsOf(const storage::BlobKey& key, ByteCount size,
                                   const net::ClientResponse& response, std::string_view archive_class) {
  const std::string_view sha256 = response.Header(kSha256);
  const auto stored_at = ParseTime(response.Header(kStored));
  const std::string_view expires = response.Header(kExpires);
  const auto expires_at = ParseTime(expires);
  if (sha256.size() != 64 || !stored_at || (!expires.empty() && !expires_at)) {
    return storage::BlobCorrupt(key, "it lacks the metadata that this server writes");
  }
  return storage::BlobFacts{.key = key,
                            .size = size,
                            .sha256 = std::string(sha256),
                            .content_type = std::string(response.Header("content-type")),
                            .etag = Unquoted(response.Header("etag")),
                            .stored_at = *stored_at,
                            .expires_at = expires_at,
                            .archived = response.Header("x-amz-storage-class") == archive_class};
}

Result<ByteCount> TotalOf(std::string_view content_range) {
  const std::size_t slash = content_range.find('/');
  const auto total =
      slash == std::string_view::npos ? std::nullopt : ParseUint(content_range.substr(slash + 1));
  if (total) return *total;
  return Internal("blob_answer_invalid",
                  "the object store's content-range '" + Printable(content_range) + "' has no size");
}

std::string Unquoted(std::string_view etag) {
  if (etag.starts_with('"')) etag.remove_prefix(1);
  if (etag.ends_with('"')) etag.remove_suffix(1);
  return std::string(etag);
}

}  // namespace mezzo::drivers::internal
