#include "mezzo/api/platform/limit_json.h"

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/members.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxText = 200;
constexpr double kMost = 1e15;

Json MaybeText(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Result<std::string> TextOr(const Members& members, const std::string& name) {
  MEZZO_TRY(auto text, members.Text(name, kMaxText));
  return std::move(text).value_or("");
}

/// Not negative; zero when it is not there.
Result<double> AmountOr(const Members& members, const std::string& name) {
  MEZZO_TRY(const auto value, members.Number(name, -kMost, kMost));
  if (value && *value < 0) return Members::Bad("'" + name + "' must not be negative");
  return value.value_or(0);
}

}  // namespace

Json ToJson(const tenancy::Limit& limit, bool declared) {
  Json per = Json::array();
  for (std::size_t i = 0; i < tenancy::kLimitPerNames.size(); ++i) {
    if ((limit.per & (1U << i)) != 0) per.push_back(tenancy::kLimitPerNames.at(i));
  }
  Json json = {{"name", limit.name},
               {"object", "limit"},
               {"kind", tenancy::LimitKindName(limit.kind)},
               {"tenant", MaybeText(limit.tenant.str())},
               {"project", MaybeText(limit.project.str())},
               {"key", MaybeText(limit.key.str())},
               {"model", MaybeText(limit.model.str())},
               {"per", std::move(per)}};
  if (IsRate(limit.kind)) {
    json["rate"] = limit.rate;
    json["burst"] = limit.burst;
  } else {
    json["amount"] = limit.amount;
  }
  json["source"] = declared ? "configuration" : "database";
  return json;
}

Result<tenancy::Limit> ParseLimit(std::string_view body, std::string name) {
  static constexpr std::array<std::string_view, 9> kMembers = {"kind", "tenant", "project", "key",   "model",
                                                               "per",  "rate",   "burst",   "amount"};
  MEZZO_TRY(const Members members, Members::Parse(body, kMembers));
  tenancy::Limit limit;
  limit.name = std::move(name);
  MEZZO_TRY(const auto kind, members.Text("kind", kMaxText));
  if (!kind) return Members::Bad("'kind' is missing: what is counted");
  MEZZO_TRY(limit.kind, tenancy::ParseLimitKind(*kind));
  MEZZO_TRY(std::string tenant, TextOr(members, "tenant"));
  limit.tenant = TenantId(std::move(tenant));
  MEZZO_TRY(std::string project, TextOr(members, "project"));
  limit.project = ProjectId(std::move(project));
  MEZZO_TRY(std::string key, TextOr(members, "key"));
  limit.key = KeyId(std::move(key));
  MEZZO_TRY(std::string model, TextOr(members, "model"));
  limit.model = ModelName(std::move(model));
  MEZZO_TRY(const auto per, members.Texts("per", tenancy::kLimitPerNames.size()));
  std::string words;
  if (per) {
    for (const std::string& word : *per) words += (words.empty() ? "" : ",") + word;
  }
  MEZZO_TRY(limit.per, tenancy::ParseLimitPer(words));
  MEZZO_TRY(limit.rate, AmountOr(members, "rate"));
  MEZZO_TRY(limit.burst, AmountOr(members, "burst"));
  if (!IsRate(limit.kind) && !members.Has("amount")) {
    return Members::Bad("'amount' is missing: how much of it there is");
  }
  MEZZO_TRY(limit.amount, AmountOr(members, "amount"));
  return tenancy::CheckLimit(std::move(limit));
}

}  // namespace mezzo::api::platform
