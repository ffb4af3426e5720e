#include "mezzo/storage/blob_key.h"

#include <limits>
#include <vector>

#include "mezzo/base/strings.h"

namespace mezzo::storage {
namespace {

Result<void> CheckName(std::string_view what, std::string_view name, std::size_t max_size) {
  if (IsSafeName(name) && name.size() <= max_size) return {};
  return InvalidArgument("blob_key_invalid",
                         "the " + std::string(what) + " '" + Printable(name) +
                             "' of an object's key must be 1 to " + std::to_string(max_size) +
                             " of letters, digits, '.', '_' and '-', not starting with '.'");
}

Result<void> CheckAttempt(std::string_view text) {
  const auto number = ParseUint(text);
  if (number && *number <= std::numeric_limits<std::uint32_t>::max() && std::to_string(*number) == text)
    return {};
  return InvalidArgument("blob_key_invalid",
                         "the attempt '" + Printable(text) +
                             "' of an object's key must be a number of 32 bits without leading zeros");
}

}  // namespace

Result<BlobKey> BlobKey::Parse(std::string_view text) {
  // Before anything is copied: a key of megabytes is not worth splitting.
  if (text.size() > kMaxText) {
    return InvalidArgument("blob_key_invalid", "an object's key of " + std::to_string(text.size()) +
                                                   " bytes is longer than " + std::to_string(kMaxText));
  }
  const std::vector<std::string_view> parts = Split(text, '/');
  if (parts.size() != 4) {
    return InvalidArgument("blob_key_invalid",
                           "an object's key must be tenant/job/attempt/name, not '" + Printable(text) + "'");
  }
  MEZZO_TRY_VOID(CheckName("tenant", parts[0], kMaxTenant));
  MEZZO_TRY_VOID(CheckName("job", parts[1], kMaxJob));
  MEZZO_TRY_VOID(CheckAttempt(parts[2]));
  MEZZO_TRY_VOID(CheckName("name", parts[3], kMaxName));
  const std::size_t job_at = parts[0].size() + 1;
  const std::size_t attempt_at = job_at + parts[1].size() + 1;
  const std::size_t name_at = attempt_at + parts[2].size() + 1;
  return BlobKey(std::string(text), job_at, attempt_at, name_at);
}

Result<BlobKey> BlobKey::Make(const TenantId& tenant, std::string_view job, std::uint32_t attempt,
                              std::string_view name) {
  // Parts with a slash inside would shift: they are checked alone first.
  MEZZO_TRY_VOID(CheckName("tenant", tenant.str(), kMaxTenant));
  MEZZO_TRY_VOID(CheckName("job", job, kMaxJob));
  MEZZO_TRY_VOID(CheckName("name", name, kMaxName));
  return Parse(tenant.str() + "/" + std::string(job) + "/" + std::to_string(attempt) + "/" +
               std::string(name));
}

Result<BlobPrefix> BlobPrefix::Of(const TenantId& tenant) {
  MEZZO_TRY_VOID(CheckName("tenant", tenant.str(), BlobKey::kMaxTenant));
  return BlobPrefix(tenant.str() + "/");
}

Result<BlobPrefix> BlobPrefix::Of(const TenantId& tenant, std::string_view job) {
  MEZZO_TRY(const BlobPrefix outer, Of(tenant));
  MEZZO_TRY_VOID(CheckName("job", job, BlobKey::kMaxJob));
  return BlobPrefix(outer.text() + std::string(job) + "/");
}

Result<BlobPrefix> BlobPrefix::Of(const TenantId& tenant, std::string_view job, std::uint32_t attempt) {
  MEZZO_TRY(const BlobPrefix outer, Of(tenant, job));
  return BlobPrefix(outer.text() + std::to_string(attempt) + "/");
}

}  // namespace mezzo::storage
