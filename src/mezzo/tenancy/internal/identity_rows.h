#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/storage/sql_db.h"
#include "mezzo/tenancy/identity.h"
#include "mezzo/tenancy/limit.h"

namespace mezzo::tenancy::internal {

inline std::int64_t ToMicros(WallTime time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}
inline WallTime FromMicros(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
inline storage::SqlValue MaybeMicros(const std::optional<WallTime>& time) {
  return time ? storage::SqlValue(ToMicros(*time)) : storage::SqlValue();
}

/// "interactive,bulk" and back; an unknown word means nothing.
std::string ClassesText(const std::array<bool, 3>& classes);
std::array<bool, 3> ParseClasses(std::string_view text);
/// "infer,observe" and back.
std::string ScopesText(const ScopeSet& scopes);
ScopeSet ParseScopes(std::string_view text);

/// "paid,free" and back.
std::string TiersText(const std::array<bool, 3>& tiers);
std::array<bool, 3> ParseTiers(std::string_view text);

/// First in every transaction that changes something: the row also keeps two changes from crossing.
Result<void> CountUp(storage::SqlSession& session);

inline constexpr std::string_view kTenantColumns =
    "id, name, weight, classes, platform, suspended, created_us, tiers";
TenantRecord TenantAt(const storage::SqlRows& rows, std::size_t row);

inline constexpr std::string_view kUserColumns = "tenant, issuer, subject, name, role, created_us";
UserRecord UserAt(const storage::SqlRows& rows, std::size_t row);

inline constexpr std::string_view kKeyColumns =
    "id, tenant, project, name, scopes, created_us, created_by, expires_us, revoked_us, last_used_us";
KeyRecord KeyAt(const storage::SqlRows& rows, std::size_t row);

inline constexpr std::string_view kLimitColumns =
    "name, tenant, project, api_key, model, per, kind, rate, burst, amount";
/// Nothing of one that this host can't read: a newer one may have written it.
std::optional<Limit> LimitAt(const storage::SqlRows& rows, std::size_t row);
/// All of them, by name.
Result<std::vector<Limit>> ReadLimits(storage::SqlSession& session);

}  // namespace mezzo::tenancy::internal
