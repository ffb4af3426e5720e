#include "mezzo/tenancy/internal/identity_rows.h"

#include "mezzo/base/check.h"
#include "mezzo/tenancy/identity_store.h"

namespace mezzo::tenancy::internal {
namespace {

using Words = std::array<std::string_view, 3>;
constexpr Words kClasses = {"interactive", "standard", "bulk"};
constexpr Words kTiers = {"paid", "urgent", "free"};

/// Calls `take` for each word between commas.
template <typename Take>
void EachWord(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    take(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
}

std::string WordsText(const std::array<bool, 3>& set, const Words& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (set.at(i)) text += (text.empty() ? "" : ",") + std::string(words.at(i));
  }
  return text;
}

std::array<bool, 3> ParseWords(std::string_view text, const Words& words) {
  std::array<bool, 3> set = {false, false, false};
  EachWord(text, [&](std::string_view word) {
    for (std::size_t i = 0; i < words.size(); ++i) set.at(i) = set.at(i) || words.at(i) == word;
  });
  return set;
}

std::optional<WallTime> TimeAt(const storage::SqlRows& rows, std::size_t row, std::size_t column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMicros(rows.Int(row, column));
}

}  // namespace

std::string ClassesText(const std::array<bool, 3>& classes) { return WordsText(classes, kClasses); }
std::array<bool, 3> ParseClasses(std::string_view text) { return ParseWords(text, kClasses); }
std::string TiersText(const std::array<bool, 3>& tiers) { return WordsText(tiers, kTiers); }
std::array<bool, 3> ParseTiers(std::string_view text) { return ParseWords(text, kTiers); }

Result<void> CountUp(storage::SqlSession& session) {
  MEZZO_TRY_VOID(session.Run("UPDATE tenancy_revision SET revision = revision + 1 WHERE one = 1", {}));
  return session.Notify({.channel = kIdentitiesChannel, .payload = ""});
}

std::string ScopesText(const ScopeSet& scopes) {
  std::string text;
  for (const std::string& name : scopes.Names()) text += (text.empty() ? "" : ",") + name;
  return text;
}

ScopeSet ParseScopes(std::string_view text) {
  ScopeSet scopes;
  EachWord(text, [&](std::string_view word) {
    // A scope that a newer host has given and this one does not know: nobody has it here.
    if (const auto scope = ParseScope(word); scope.ok()) scopes.Add(*scope);
  });
  return scopes;
}

TenantRecord TenantAt(const storage::SqlRows& rows, std::size_t row) {
  TenantRecord tenant;
  tenant.id = TenantId(rows.Text(row, 0));
  tenant.settings = {.name = rows.Text(row, 1),
                     .weight = rows.Real(row, 2),
                     .classes = ParseClasses(rows.Text(row, 3)),
                     .tiers = ParseTiers(rows.Text(row, 7)),
                     .platform = rows.Int(row, 4) != 0,
                     .suspended = rows.Int(row, 5) != 0};
  tenant.created = FromMicros(rows.Int(row, 6));
  return tenant;
}

UserRecord UserAt(const storage::SqlRows& rows, std::size_t row) {
  UserRecord user;
  user.tenant = TenantId(rows.Text(row, 0));
  user.issuer = rows.Text(row, 1);
  user.subject = rows.Text(row, 2);
  user.name = rows.Text(row, 3);
  user.role = ParseRole(rows.Text(row, 4)).value_or(Role::kViewer);
  user.created = FromMicros(rows.Int(row, 5));
  return user;
}

KeyRecord KeyAt(const storage::SqlRows& rows, std::size_t row) {
  KeyRecord key;
  key.id = KeyId(rows.Text(row, 0));
  key.facts = {.tenant = TenantId(rows.Text(row, 1)),
               .project = ProjectId(rows.Text(row, 2)),
               .name = rows.Text(row, 3),
               .scopes = ParseScopes(rows.Text(row, 4)),
               .expires = TimeAt(rows, row, 7),
               .created_by = rows.Text(row, 6)};
  key.created = FromMicros(rows.Int(row, 5));
  key.revoked = TimeAt(rows, row, 8);
  key.last_used = TimeAt(rows, row, 9);
  return key;
}

std::optional<Limit> LimitAt(const storage::SqlRows& rows, std::size_t row) {
  const auto per = ParseLimitPer(rows.Text(row, 5));
  const auto kind = ParseLimitKind(rows.Text(row, 6));
  if (!per.ok() || !kind.ok()) return std::nullopt;
  auto limit = CheckLimit({.name = rows.Text(row, 0),
                           .tenant = TenantId(rows.Text(row, 1)),
                           .project = ProjectId(rows.Text(row, 2)),
                           .key = KeyId(rows.Text(row, 3)),
                           .model = ModelName(rows.Text(row, 4)),
                           .per = *per,
                           .kind = *kind,
                           .rate = rows.Real(row, 7),
                           .burst = rows.Real(row, 8),
                           .amount = rows.Real(row, 9)});
  if (!limit.ok()) return std::nullopt;
  return *std::move(limit);
}

Result<std::vector<Limit>> ReadLimits(storage::SqlSession& session) {
  static const std::string sql = "SELECT " + std::string(kLimitColumns) + " FROM tenant_limits ORDER BY name";
  MEZZO_TRY(const storage::SqlRows rows, session.Run(sql, {}));
  std::vector<Limit> limits;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (auto limit = LimitAt(rows, i)) limits.push_back(*std::move(limit));
  }
  return limits;
}

}  // namespace mezzo::tenancy::internal
