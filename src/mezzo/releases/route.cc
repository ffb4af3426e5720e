#include "mezzo/releases/route.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::releases {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxHeaderName = 64;
constexpr std::size_t kMaxHeaderValue = 256;
constexpr std::size_t kMaxName = 32;
constexpr std::size_t kMaxTenant = 128;
constexpr int kMaxDepth = 8;

Error BadJson(std::string message) { return InvalidArgument("route_json", std::move(message)); }
Error BadRule(std::string message) { return InvalidArgument("route_rule", std::move(message)); }
Error BadArm(std::string message) { return InvalidArgument("route_arm", std::move(message)); }
Error BadSticky(std::string message) { return InvalidArgument("route_sticky", std::move(message)); }
Error BadShadow(std::string message) { return InvalidArgument("route_shadow", std::move(message)); }

std::string Quoted(std::string_view text) { return "'" + Printable(text, 64) + "'"; }

/// RFC 9110's token, in lower case.
bool IsHeaderName(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && name.size() <= kMaxHeaderName && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || kMarks.find(c) != std::string_view::npos;
  });
}

/// Headers whose values must not be written into a route.
bool IsSecret(std::string_view name) {
  constexpr std::array<std::string_view, 4> kSecret = {"authorization", "x-api-key", "cookie",
                                                       "proxy-authorization"};
  return std::find(kSecret.begin(), kSecret.end(), name) != kSecret.end();
}

bool IsArmName(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= kMaxName && (name[0] < '0' || name[0] > '9') &&
         !name.starts_with("rule") && std::all_of(name.begin(), name.end(), plain);
}

/// Members of `object` beside those known are errors.
Result<void> CheckMembers(const Json& object, const std::string& where,
                          std::span<const std::string_view> known) {
  if (!object.is_object()) return BadJson(where + " must be an object");
  std::vector<std::string> names(known.begin(), known.end());
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto near = NearestName(name, names);
    return BadJson(where + " has no member " + Quoted(name) +
                   (near ? "; did you mean '" + *near + "'?" : std::string()));
  }
  return {};
}

/// Empty when there is none.
Result<std::string> TextOf(const Json& object, const std::string& where, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::string();
  if (!found->is_string()) return BadJson(where + "." + name + " must be a text");
  return found->get<std::string>();
}

Result<std::uint32_t> NumberOf(const Json& object, const std::string& where, const char* name,
                               std::uint32_t most) {
  const auto found = object.find(name);
  if (found == object.end()) return BadJson(where + "." + name + " is missing");
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > most) {
    return BadJson(where + "." + name + " must be a whole number from 0 to " + std::to_string(most));
  }
  return found->get<std::uint32_t>();
}

Result<VersionName> VersionOf(const Json& object, const std::string& where, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return BadJson(where + "." + name + " is missing");
  if (!found->is_string()) {
    return BadJson(where + "." + name + " must be a text: \"7\", \"latest\" or \"@alias\"");
  }
  auto version = VersionName::Parse(found->get_ref<const std::string&>());
  if (!version.ok()) return std::move(version).error().WithContext(where + "." + name);
  return version;
}

/// The elements of the array `name`, at most `limit`; none when it is not there.
Result<const Json*> ArrayOf(const Json& object, const std::string& where, const char* name) {
  static const Json kNone = Json::array();
  const auto found = object.find(name);
  if (found == object.end()) return &kNone;
  if (!found->is_array()) return BadJson(where + "." + name + " must be an array");
  return &*found;
}

Result<RouteRule> ReadRule(const Json& json, const std::string& where) {
  static constexpr std::array<std::string_view, 4> kMembers = {"header", "equals", "tenant", "version"};
  MEZZO_TRY_VOID(CheckMembers(json, where, kMembers));
  RouteRule rule;
  MEZZO_TRY(const std::string header, TextOf(json, where, "header"));
  rule.header = ToLower(header);
  MEZZO_TRY(rule.equals, TextOf(json, where, "equals"));
  if (json.contains("header") != json.contains("equals")) {
    return BadRule(where + " must have both 'header' and 'equals', or neither");
  }
  if (json.contains("header") && header.empty()) return BadRule(where + ".header must not be empty");
  MEZZO_TRY(std::string tenant, TextOf(json, where, "tenant"));
  if (json.contains("tenant") && tenant.empty()) return BadRule(where + ".tenant must not be empty");
  rule.tenant = TenantId(std::move(tenant));
  MEZZO_TRY(rule.version, VersionOf(json, where, "version"));
  return rule;
}

Result<void> ReadSplit(const Json& json, Route& route) {
  static constexpr std::array<std::string_view, 3> kMembers = {"sticky", "salt", "arms"};
  static constexpr std::array<std::string_view, 3> kArmMembers = {"name", "version", "weight"};
  constexpr std::string_view kHeader = "header:";
  const std::string where = "split";
  MEZZO_TRY_VOID(CheckMembers(json, where, kMembers));
  MEZZO_TRY(const std::string sticky, TextOf(json, where, "sticky"));
  if (sticky == "tenant") {
    route.sticky = Sticky::kTenant;
  } else if (sticky.starts_with(kHeader)) {
    route.sticky = Sticky::kHeader;
    route.sticky_header = ToLower(sticky.substr(kHeader.size()));
  } else if (!sticky.empty() && sticky != "none") {
    return BadSticky("split.sticky is " + Quoted(sticky) +
                     "; it must be 'none', 'tenant' or 'header:' with a header's name");
  }
  MEZZO_TRY(route.salt, TextOf(json, where, "salt"));
  if (!json.contains("arms")) return BadJson("split.arms is missing");
  MEZZO_TRY(const Json* arms, ArrayOf(json, where, "arms"));
  if (arms->empty()) return BadArm("split.arms must not be empty");
  for (std::size_t i = 0; i < arms->size(); ++i) {
    const std::string at = "split.arms[" + std::to_string(i) + "]";
    MEZZO_TRY_VOID(CheckMembers(arms->at(i), at, kArmMembers));
    RouteArm arm;
    MEZZO_TRY(arm.name, TextOf(arms->at(i), at, "name"));
    MEZZO_TRY(arm.version, VersionOf(arms->at(i), at, "version"));
    MEZZO_TRY(arm.weight, NumberOf(arms->at(i), at, "weight", kWholeWeight));
    route.arms.push_back(std::move(arm));
  }
  return {};
}

Result<void> CheckRules(const Route& route) {
  if (route.rules.size() > kMaxRules) {
    return BadRule("rules has " + std::to_string(route.rules.size()) + " entries; the limit is " +
                   std::to_string(kMaxRules));
  }
  std::set<std::string_view> headers;
  for (std::size_t i = 0; i < route.rules.size(); ++i) {
    const RouteRule& rule = route.rules[i];
    const std::string at = "rules[" + std::to_string(i) + "]";
    if (!rule.header.empty()) headers.insert(rule.header);
    if (rule.header.empty() && rule.tenant.empty()) {
      return BadRule(at + " must have 'header' and 'equals', or 'tenant', or all of them");
    }
    if (!rule.header.empty() && !IsHeaderName(rule.header)) {
      return BadRule(at + ".header is " + Quoted(rule.header) + ", which is no name of a header");
    }
    if (IsSecret(rule.header)) {
      return BadRule(at + ".header is '" + rule.header + "', whose values are secrets");
    }
    if (rule.equals.size() > kMaxHeaderValue) {
      return BadRule(at + ".equals has " + std::to_string(rule.equals.size()) + " bytes; the limit is " +
                     std::to_string(kMaxHeaderValue));
    }
    if (rule.tenant.str().size() > kMaxTenant) {
      return BadRule(at + ".tenant has " + std::to_string(rule.tenant.str().size()) +
                     " bytes; the limit is " + std::to_string(kMaxTenant));
    }
  }
  if (headers.size() > kMaxRuleHeaders) {
    return BadRule("rules ask for " + std::to_string(headers.size()) + " different headers; the limit is " +
                   std::to_string(kMaxRuleHeaders));
  }
  return {};
}

Result<void> CheckSplit(const Route& route) {
  if (route.salt.size() > kMaxSalt) {
    return BadSticky("split.salt has " + std::to_string(route.salt.size()) + " bytes; the limit is " +
                     std::to_string(kMaxSalt));
  }
  if (route.sticky == Sticky::kHeader &&
      (!IsHeaderName(route.sticky_header) || IsSecret(route.sticky_header))) {
    return BadSticky("split.sticky names the header " + Quoted(route.sticky_header) +
                     ", which is none that calls can be told apart by");
  }
  if (route.arms.empty()) return {};
  if (route.arms.size() > kMaxArms) {
    return BadArm("split.arms has " + std::to_string(route.arms.size()) + " entries; the limit is " +
                  std::to_string(kMaxArms));
  }
  std::set<std::string_view> names;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < route.arms.size(); ++i) {
    const RouteArm& arm = route.arms[i];
    const std::string at = "split.arms[" + std::to_string(i) + "]";
    if (!IsArmName(arm.name)) {
      return BadArm(
          at + ".name is " + Quoted(arm.name) +
          "; it must be 1 to 32 of a-z, 0-9, '-' and '_', not begin with a digit, and not with 'rule'");
    }
    if (!names.insert(arm.name).second) return BadArm("two of split.arms are named '" + arm.name + "'");
    sum += arm.weight;
  }
  if (sum != kWholeWeight) {
    return InvalidArgument("route_weights", "the weights of split.arms sum to " + std::to_string(sum) +
                                                "; they must sum to exactly " + std::to_string(kWholeWeight));
  }
  return {};
}

Result<void> CheckShadows(const Route& route) {
  if (route.shadows.size() > kMaxShadows) {
    return BadShadow("shadows has " + std::to_string(route.shadows.size()) + " entries; the limit is " +
                     std::to_string(kMaxShadows));
  }
  for (std::size_t i = 0; i < route.shadows.size(); ++i) {
    const RouteShadow& shadow = route.shadows[i];
    const std::string at = "shadows[" + std::to_string(i) + "]";
    if (shadow.share < 1 || shadow.share > kWholeWeight) {
      return BadShadow(at + ".share must be from 1 to " + std::to_string(kWholeWeight));
    }
    if (shadow.max_in_flight < 1 || shadow.max_in_flight > kMaxShadowsInFlight) {
      return BadShadow(at + ".max_in_flight must be from 1 to " + std::to_string(kMaxShadowsInFlight));
    }
  }
  return {};
}

}  // namespace

Result<VersionName> VersionName::Parse(std::string_view text) {
  if (text == "latest") return VersionName();
  if (text.starts_with('@')) {
    if (IsSafeName(text.substr(1))) {
      return VersionName{.kind = Kind::kAlias, .number = 0, .alias = std::string(text.substr(1))};
    }
  } else if (const auto number = ParseUint(text);
             number && *number > 0 && text[0] != '0' &&
             *number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return Number(static_cast<std::int64_t>(*number));
  }
  return InvalidArgument("route_version",
                         Quoted(text) +
                             " names no version: it must be a whole number above 0, 'latest' "
                             "or '@' with an alias");
}

std::string VersionName::Text() const {
  switch (kind) {
    case Kind::kNumber:
      return std::to_string(number);
    case Kind::kAlias:
      return "@" + alias;
    case Kind::kLatest:
      break;
  }
  return "latest";
}

Result<Route> ParseRoute(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kMembers = {"rules", "split", "shadows", "stable"};
  static constexpr std::array<std::string_view, 3> kShadowMembers = {"version", "share", "max_in_flight"};
  if (text.size() > kMaxRouteText) {
    return BadJson("a route has " + std::to_string(text.size()) + " bytes; the limit is " +
                   std::to_string(kMaxRouteText));
  }
  bool too_deep = false;
  bool repeated = false;
  std::vector<std::set<std::string>> open;  // The members of the objects that are not closed yet.
  const auto look = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) too_deep = true;
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.empty()) {
      repeated = !open.back().insert(parsed.get<std::string>()).second || repeated;
    }
    return !too_deep;
  };
  const Json json = Json::parse(text, look, /*allow_exceptions=*/false);
  if (too_deep) return BadJson("a route nests no deeper than " + std::to_string(kMaxDepth) + " levels");
  if (json.is_discarded()) return BadJson("a route must be JSON");
  if (repeated) return BadJson("a member of a route stands twice in its object");
  MEZZO_TRY_VOID(CheckMembers(json, "a route", kMembers));
  Route route;
  MEZZO_TRY(route.stable, VersionOf(json, "route", "stable"));
  MEZZO_TRY(const Json* rules, ArrayOf(json, "route", "rules"));
  for (std::size_t i = 0; i < rules->size() && i <= kMaxRules; ++i) {
    MEZZO_TRY(RouteRule rule, ReadRule(rules->at(i), "rules[" + std::to_string(i) + "]"));
    route.rules.push_back(std::move(rule));
  }
  if (rules->size() > kMaxRules) {
    return BadRule("rules has " + std::to_string(rules->size()) + " entries; the limit is " +
                   std::to_string(kMaxRules));
  }
  if (const auto split = json.find("split"); split != json.end()) MEZZO_TRY_VOID(ReadSplit(*split, route));
  MEZZO_TRY(const Json* shadows, ArrayOf(json, "route", "shadows"));
  for (std::size_t i = 0; i < shadows->size(); ++i) {
    const std::string at = "shadows[" + std::to_string(i) + "]";
    MEZZO_TRY_VOID(CheckMembers(shadows->at(i), at, kShadowMembers));
    RouteShadow shadow;
    MEZZO_TRY(shadow.version, VersionOf(shadows->at(i), at, "version"));
    MEZZO_TRY(shadow.share, NumberOf(shadows->at(i), at, "share", kWholeWeight));
    if (shadows->at(i).contains("max_in_flight")) {
      MEZZO_TRY(shadow.max_in_flight, NumberOf(shadows->at(i), at, "max_in_flight", kMaxShadowsInFlight));
    }
    route.shadows.push_back(std::move(shadow));
  }
  MEZZO_TRY_VOID(CheckRoute(route));
  return route;
}

Result<void> CheckRoute(const Route& route) {
  MEZZO_TRY_VOID(CheckRules(route));
  MEZZO_TRY_VOID(CheckSplit(route));
  return CheckShadows(route);
}

std::string RouteText(const Route& route) {
  Json json = Json::object();
  if (!route.rules.empty()) {
    Json rules = Json::array();
    for (const RouteRule& rule : route.rules) {
      Json one = Json::object();
      if (!rule.header.empty()) {
        one["header"] = rule.header;
        one["equals"] = rule.equals;
      }
      if (!rule.tenant.empty()) one["tenant"] = rule.tenant.str();
      one["version"] = rule.version.Text();
      rules.push_back(std::move(one));
    }
    json["rules"] = std::move(rules);
  }
  if (!route.arms.empty()) {
    Json arms = Json::array();
    for (const RouteArm& arm : route.arms) {
      arms.push_back({{"name", arm.name}, {"version", arm.version.Text()}, {"weight", arm.weight}});
    }
    std::string sticky = "none";
    if (route.sticky == Sticky::kTenant) sticky = "tenant";
    if (route.sticky == Sticky::kHeader) sticky = "header:" + route.sticky_header;
    json["split"] = {{"sticky", std::move(sticky)}, {"salt", route.salt}, {"arms", std::move(arms)}};
  }
  if (!route.shadows.empty()) {
    Json shadows = Json::array();
    for (const RouteShadow& shadow : route.shadows) {
      shadows.push_back({{"version", shadow.version.Text()},
                         {"share", shadow.share},
                         {"max_in_flight", shadow.max_in_flight}});
    }
    json["shadows"] = std::move(shadows);
  }
  json["stable"] = route.stable.Text();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<void> CheckRoutedModel(std::string_view model) {
  if (IsSafeName(model)) return {};
  return InvalidArgument("route_model", Quoted(model) +
                                            " is no name of a model: 1 to 128 of A-Z, a-z, 0-9, '.', '_' and "
                                            "'-', not beginning with a dot");
}

}  // namespace mezzo::releases
