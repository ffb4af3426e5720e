#include "mezzo/tenancy/internal/identity_rows.h"

#include "mezzo/base/check.h"

namespace mezzo::tenancy::internal {
namespace {

constexpr std::array<std::string_view, 3> kClasses = {"interactive", "standard", "bulk"};

/// Calls `take` for each word between commas.
template <typename Take>
void EachWord(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    take(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
}

std::optional<WallTime> TimeAt(const storage::SqlRows& rows, std::size_t row, std::size_t column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMicros(rows.Int(row, column));
}

}  // namespace

std::string ClassesText(const std::array<bool, 3>& classes) {
  std::string text;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes.at(i)) text += (text.empty() ? "" : ",") + std::string(kClasses.at(i));
  }
  return text;
}

std::array<bool, 3> ParseClasses(std::string_view text) {
  std::array<bool, 3> classes = {false, false, false};
  EachWord(text, [&](std::string_view word) {
    for (std::size_t i = 0; i < kClasses.size(); ++i) classes.at(i) = classes.at(i) || kClasses.at(i) == word;
  });
  return classes;
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

}  // namespace mezzo::tenancy::internal
