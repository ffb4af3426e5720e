#include "mezzo/storage/kv_checks.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "mezzo/base/strings.h"
#include "mezzo/storage/gcra.h"

namespace mezzo::storage {
namespace {

constexpr std::int64_t kMaxTokens = 1'000'000'000'000;  // Products with a period stay exact in a double.

bool IsKeyCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(":._/{}-").find(c) != std::string_view::npos;
}

Result<void> CheckCount(std::size_t count) {
  if (count <= kMaxKvKeys) return {};
  return InvalidArgument("kv_too_large", "a call names " + std::to_string(count) + " keys; the limit is " +
                                             std::to_string(kMaxKvKeys));
}

}  // namespace

bool IsKvKey(std::string_view key) {
  return !key.empty() && key.size() <= kMaxKvKeyBytes && std::all_of(key.begin(), key.end(), IsKeyCharacter);
}

Result<void> CheckKvKey(std::string_view key) {
  if (IsKvKey(key)) return {};
  return InvalidArgument("kv_bad_key", "'" + Printable(key) + "' is not 1 to 256 of [A-Za-z0-9:._/{}-]");
}

Result<void> CheckKvKeys(const std::vector<std::string>& keys) {
  MEZZO_TRY_VOID(CheckCount(keys.size()));
  for (const std::string& key : keys) MEZZO_TRY_VOID(CheckKvKey(key));
  return {};
}

Result<void> CheckKvValue(std::size_t bytes, std::size_t limit) {
  if (bytes <= limit) return {};
  return InvalidArgument("kv_too_large",
                         "a value has " + FormatBytes(bytes) + "; the limit is " + FormatBytes(limit));
}

Result<void> CheckTokenRequests(const std::vector<TokenStore::TokenRequest>& requests) {
  MEZZO_TRY_VOID(CheckCount(requests.size()));
  for (const auto& request : requests) {
    MEZZO_TRY_VOID(CheckKvKey(request.key));
    const bool good = request.want >= -kMaxTokens && request.want <= kMaxTokens &&
                      GcraLimit::IsValid(request.per_second, request.burst);
    if (!good) {
      return InvalidArgument("kv_bad_limit", "the rate, the burst or the number of tokens of '" +
                                                 request.key + "' is out of its range");
    }
  }
  return {};
}

Result<void> CheckPermitRequests(const std::vector<TokenStore::PermitRequest>& requests) {
  MEZZO_TRY_VOID(CheckCount(requests.size()));
  for (const auto& request : requests) {
    MEZZO_TRY_VOID(CheckKvKey(request.key));
    MEZZO_TRY_VOID(CheckKvKey(request.host));
    if (request.hold < 0 || request.hold > kMaxTokens || request.limit < 0 || request.limit > kMaxTokens) {
      return InvalidArgument(
          "kv_bad_limit", "the limit or the number of permits of '" + request.key + "' is out of its range");
    }
  }
  return {};
}

Result<void> CheckKvContext(const runtime::Context& ctx, TimePoint now) {
  if (ctx.cancelled()) return Cancelled("cancelled", "the call was cancelled");
  if (ctx.deadline() <= now) return DeadlineExceeded("kv_timeout", "the call's deadline has passed");
  return {};
}

Duration KvLifetime(Duration lifetime) {
  using std::chrono::milliseconds;
  return std::clamp(std::chrono::ceil<milliseconds>(lifetime), milliseconds(1),
                    milliseconds(std::chrono::hours(24 * 366)));
}

}  // namespace mezzo::storage
