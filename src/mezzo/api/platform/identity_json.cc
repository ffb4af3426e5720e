#include "mezzo/api/platform/identity_json.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/job_json.h"
#include "mezzo/api/platform/members.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxText = 200;
constexpr std::size_t kMaxId = 64;
constexpr double kLongestLife = 3600.0 * 24 * 3660;  // Seconds.
constexpr double kLongestOverlap = 3600.0 * 24 * 30;
constexpr std::array<std::string_view, 3> kClasses = {"interactive", "standard", "bulk"};

Json MaybeTime(const std::optional<WallTime>& time) { return time ? Json(TimeText(*time)) : Json(nullptr); }
Json MaybeText(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

using Words = std::array<std::string_view, 3>;
constexpr Words kTiers = {"paid", "urgent", "free"};

Json WordNames(const std::array<bool, 3>& set, const Words& words) {
  Json names = Json::array();
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set.at(i)) names.push_back(words.at(i));
  }
  return names;
}

/// The member, a list of at least one of `words`; nothing when it is not there.
Result<std::optional<std::array<bool, 3>>> WordsOf(const Members& members, const std::string& member,
                                                   const Words& words) {
  MEZZO_TRY(const auto names, members.Texts(member, words.size()));
  if (!names) return std::optional<std::array<bool, 3>>();
  std::array<bool, 3> set = {false, false, false};
  for (const std::string& name : *names) {
    const auto at = std::find(words.begin(), words.end(), name);
    if (at == words.end()) {
      return Members::Bad("'" + member + "' may have " + std::string(words[0]) + ", " +
                          std::string(words[1]) + " and " + std::string(words[2]) + ", not '" +
                          Printable(name, 64) + "'");
    }
    set.at(static_cast<std::size_t>(at - words.begin())) = true;
  }
  if (names->empty()) return Members::Bad("'" + member + "' needs at least one");
  return std::optional(set);
}

Result<tenancy::Role> RoleOf(const std::string& name) {
  if (const auto role = tenancy::ParseRole(name)) return *role;
  return Members::Bad("'role' must be viewer, developer, operator or admin, not '" + Printable(name, 64) +
                      "'");
}

/// The text, or "".
Result<std::string> TextOr(const Members& members, const std::string& name, std::size_t max_size) {
  MEZZO_TRY(auto text, members.Text(name, max_size));
  return std::move(text).value_or("");
}

}  // namespace

Json ToJson(const tenancy::TenantRecord& tenant) {
  return {{"id", tenant.id.str()},
          {"object", "tenant"},
          {"name", tenant.settings.name},
          {"weight", tenant.settings.weight},
          {"classes", WordNames(tenant.settings.classes, kClasses)},
          {"tiers", WordNames(tenant.settings.tiers, kTiers)},
          {"platform", tenant.settings.platform},
          {"suspended", tenant.settings.suspended},
          {"created_at", TimeText(tenant.created)}};
}

Json ToJson(const tenancy::ProjectRecord& project) {
  return {{"id", project.id.str()},
          {"object", "project"},
          {"tenant", project.tenant.str()},
          {"name", project.name},
          {"created_at", TimeText(project.created)}};
}

Json ToJson(const tenancy::UserRecord& user) {
  return {{"object", "user"},
          {"tenant", user.tenant.str()},
          {"issuer", user.issuer},
          {"subject", user.subject},
          {"name", user.name},
          {"role", tenancy::RoleName(user.role)},
          {"created_at", TimeText(user.created)}};
}

Json ToJson(const tenancy::KeyRecord& key) {
  return {{"id", key.id.str()},
          {"object", "api_key"},
          {"tenant", key.facts.tenant.str()},
          {"project", MaybeText(key.facts.project.str())},
          {"name", key.facts.name},
          {"scopes", key.facts.scopes.Names()},
          {"created_at", TimeText(key.created)},
          {"created_by", key.facts.created_by},
          {"expires_at", MaybeTime(key.facts.expires)},
          {"revoked_at", MaybeTime(key.revoked)},
          {"last_used_at", MaybeTime(key.last_used)}};
}

Json ToJson(const tenancy::IssuedKey& key) {
  Json json = ToJson(key.record);
  json["key"] = key.text;
  return json;
}

Json ToJson(const tenancy::Caller& caller) {
  return {{"object", "caller"},
          {"tenant", caller.tenant->id.str()},
          {"project", MaybeText(caller.project.str())},
          {"key", MaybeText(caller.key.str())},
          {"user", MaybeText(caller.user)},
          {"scopes", caller.scopes.Names()}};
}

std::string NameOf(const tenancy::Caller& caller) {
  if (!caller.user.empty()) return caller.user;
  return caller.key.empty() ? caller.tenant->id.str() : caller.key.str();
}

Result<TenantRequest> ParseTenant(std::string_view body, const tenancy::TenantSettings& now, bool with_id) {
  static constexpr std::array<std::string_view, 7> kMembers = {"name",     "weight",    "classes", "tiers",
                                                               "platform", "suspended", "id"};
  const std::span<const std::string_view> known(kMembers.data(), with_id ? 7 : 6);
  MEZZO_TRY(const Members members, Members::Parse(body, known));
  TenantRequest request{.id = "", .settings = now};
  MEZZO_TRY(request.id, TextOr(members, "id", kMaxId));
  if (with_id && request.id.empty()) return Members::Bad("'id' is missing: what the tenant is to be called");
  MEZZO_TRY(auto name, members.Text("name", kMaxText));
  if (name) request.settings.name = *std::move(name);
  constexpr double kHeaviest = 1000;
  MEZZO_TRY(const auto weight, members.Number("weight", 0, kHeaviest));
  request.settings.weight = weight.value_or(request.settings.weight);
  MEZZO_TRY(const auto classes, WordsOf(members, "classes", kClasses));
  request.settings.classes = classes.value_or(request.settings.classes);
  MEZZO_TRY(const auto tiers, WordsOf(members, "tiers", kTiers));
  request.settings.tiers = tiers.value_or(request.settings.tiers);
  MEZZO_TRY(const auto platform, members.Flag("platform"));
  request.settings.platform = platform.value_or(request.settings.platform);
  MEZZO_TRY(const auto suspended, members.Flag("suspended"));
  request.settings.suspended = suspended.value_or(request.settings.suspended);
  return request;
}

Result<ProjectRequest> ParseProject(std::string_view body) {
  static constexpr std::array<std::string_view, 2> kMembers = {"id", "name"};
  MEZZO_TRY(const Members members, Members::Parse(body, kMembers));
  ProjectRequest request;
  MEZZO_TRY(request.id, TextOr(members, "id", kMaxId));
  MEZZO_TRY(request.name, TextOr(members, "name", kMaxText));
  if (request.id.empty()) return Members::Bad("'id' is missing: what the project is to be called");
  return request;
}

Result<tenancy::UserRecord> ParseUser(std::string_view body) {
  static constexpr std::array<std::string_view, 4> kMembers = {"issuer", "subject", "name", "role"};
  MEZZO_TRY(const Members members, Members::Parse(body, kMembers));
  tenancy::UserRecord user;
  MEZZO_TRY(user.issuer, TextOr(members, "issuer", kMaxText));
  MEZZO_TRY(user.subject, TextOr(members, "subject", kMaxText));
  MEZZO_TRY(user.name, TextOr(members, "name", kMaxText));
  MEZZO_TRY(const std::string role, TextOr(members, "role", kMaxId));
  if (user.issuer.empty()) return Members::Bad("'issuer' is missing: who vouches for the user");
  if (user.subject.empty()) return Members::Bad("'subject' is missing: what the issuer calls the user");
  MEZZO_TRY(user.role, RoleOf(role));
  return user;
}

Result<tenancy::NewKey> ParseKey(std::string_view body, bool platform, WallTime now) {
  static constexpr std::array<std::string_view, 5> kMembers = {"name", "project", "scopes", "role",
                                                               "expires_in_seconds"};
  MEZZO_TRY(const Members members, Members::Parse(body, kMembers));
  tenancy::NewKey key;
  MEZZO_TRY(key.name, TextOr(members, "name", kMaxText));
  MEZZO_TRY(std::string project, TextOr(members, "project", kMaxId));
  key.project = ProjectId(std::move(project));
  MEZZO_TRY(const auto scopes, members.Texts("scopes", tenancy::kScopeCount));
  MEZZO_TRY(const auto role, members.Text("role", kMaxId));
  if (scopes && role) return Members::Bad("'scopes' and 'role' say the same: give one of them");
  if (role) {
    MEZZO_TRY(const tenancy::Role known, RoleOf(*role));
    key.scopes = tenancy::ScopesOf(known, platform);
  } else if (scopes) {
    for (const std::string& name : *scopes) {
      MEZZO_TRY(const tenancy::Scope scope, tenancy::ParseScope(name));
      key.scopes.Add(scope);
    }
    if (scopes->empty()) return Members::Bad("'scopes' needs at least one scope");
  } else {
    key.scopes = {tenancy::Scope::kInfer};
  }
  MEZZO_TRY(const auto life, members.Number("expires_in_seconds", 0, kLongestLife));
  if (life) key.expires = now + FromSeconds(*life);
  return key;
}

Result<Duration> ParseRotation(std::string_view body) {
  static constexpr std::array<std::string_view, 1> kMembers = {"overlap_seconds"};
  MEZZO_TRY(const Members members, Members::Parse(body, kMembers));
  MEZZO_TRY(const auto overlap, members.Number("overlap_seconds", -1, kLongestOverlap));
  if (overlap && *overlap < 0) return Members::Bad("'overlap_seconds' must not be negative");
  constexpr double kDay = 3600.0 * 24;
  return FromSeconds(overlap.value_or(kDay));
}

}  // namespace mezzo::api::platform
