#include "mezzo/drivers/s3/s3_options.h"

#include <algorithm>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"

namespace mezzo::drivers {
namespace {

constexpr ByteCount kMinPartBytes = ByteCount{5} << 20;
constexpr ByteCount kMaxParts = 10'000;
constexpr ByteCount kMaxCopyBytes = ByteCount{5} << 30;
constexpr std::size_t kMaxPrefix = 200;

Result<void> Require(bool good, const std::string& what) {
  if (good) return {};
  return InvalidArgument("blob_store_options_invalid", what);
}

/// Amazon's rules for names of buckets, without those about addresses.
bool IsBucketName(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789.-";
  const auto edge = [](char c) { return c != '.' && c != '-'; };
  return name.size() >= 3 && name.size() <= 63 &&
         name.find_first_not_of(kAllowed) == std::string_view::npos && edge(name.front()) &&
         edge(name.back()) && name.find("..") == std::string_view::npos;
}

bool IsPrefix(std::string_view prefix) {
  if (prefix.empty()) return true;
  if (prefix.size() > kMaxPrefix || !prefix.ends_with('/')) return false;
  const auto parts = Split(prefix.substr(0, prefix.size() - 1), '/');
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) { return IsSafeName(part); });
}

bool IsClassName(std::string_view name) {
  return name.size() <= 64 &&
         name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == std::string_view::npos;
}

}  // namespace

Result<void> CheckS3Options(const S3Options& options) {
  MEZZO_TRY_VOID(internal::ParseEndpoint(options.endpoint));
  if (!options.url_endpoint.empty()) MEZZO_TRY_VOID(internal::ParseEndpoint(options.url_endpoint));
  MEZZO_TRY_VOID(Require(IsBucketName(options.bucket),
                         "the bucket '" + Printable(options.bucket) + "' has a name that S3 does not allow"));
  MEZZO_TRY_VOID(Require(IsPrefix(options.prefix), "the prefix '" + Printable(options.prefix) +
                                                       "' must be empty or safe names that each end in '/'"));
  MEZZO_TRY_VOID(
      Require(IsSafeName(options.region), "the region '" + Printable(options.region) + "' is no name"));
  MEZZO_TRY_VOID(Require(IsClassName(options.storage_class) && IsClassName(options.archive_class) &&
                             !options.archive_class.empty(),
                         "storage classes are upper-case names"));
  MEZZO_TRY_VOID(Require(options.credentials != nullptr, "there are no credentials"));
  MEZZO_TRY_VOID(
      Require(options.max_object_bytes <= kMaxCopyBytes, "max_object_bytes must not exceed 5 GiB"));
  MEZZO_TRY_VOID(Require(options.part_bytes >= kMinPartBytes, "part_bytes must be 5 MiB at least"));
  MEZZO_TRY_VOID(Require(options.max_object_bytes / options.part_bytes < kMaxParts,
                         "the largest object would need more than 10,000 parts of part_bytes"));
  MEZZO_TRY_VOID(
      Require(options.multipart_threshold <= kMaxCopyBytes, "multipart_threshold must not exceed 5 GiB"));
  MEZZO_TRY_VOID(Require(options.read_bytes > 0, "read_bytes must not be 0"));
  MEZZO_TRY_VOID(Require(options.max_attempts >= 1, "max_attempts must be 1 at least"));
  return Require(options.min_bytes_per_second > 0, "min_bytes_per_second must not be 0");
}

}  // namespace mezzo::drivers
