#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/runtime/context.h"
#include "mezzo/storage/token_store.h"

namespace mezzo::storage {

inline constexpr std::size_t kMaxKvKeyBytes = 256;
inline constexpr std::size_t kMaxKvKeys = 1024;  ///< Of one call.

/// Whether KvStore takes it as the name of a key, a channel or an owner.
bool IsKvKey(std::string_view key);

/// What all drivers of KvStore and TokenStore refuse alike. Fail with "kv_bad_key", "kv_too_large" (too many
/// keys) or "kv_bad_limit".
Result<void> CheckKvKey(std::string_view key);
Result<void> CheckKvKeys(const std::vector<std::string>& keys);
Result<void> CheckKvValue(std::size_t bytes, std::size_t limit);
Result<void> CheckTokenRequests(const std::vector<TokenStore::TokenRequest>& requests);
Result<void> CheckPermitRequests(const std::vector<TokenStore::PermitRequest>& requests);

/// Fails with "cancelled" or "kv_timeout" when the call need not begin.
Result<void> CheckKvContext(const runtime::Context& ctx, TimePoint now);

/// In the whole milliseconds and the range that the ports promise.
Duration KvLifetime(Duration lifetime);

}  // namespace mezzo::storage
