#include "mezzo/api/mlflow/params.h"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "mezzo/api/json_body.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::mlflow {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxTags = 1000;

Error Bad(std::string message) { return InvalidArgument("mlflow_member", std::move(message)); }

}  // namespace

Result<Params> Params::Of(const net::HttpRequest& request) {
  if (request.method() != net::Method::kGet) return OfJson(request.body().text());
  Json object = Json::object();
  for (const auto& parameter : request.query()) {
    Json& member = object[parameter.name];
    if (member.is_null()) {
      member = parameter.value;
    } else if (member.is_array()) {
      member.push_back(parameter.value);
    } else {
      member = Json::array({member, parameter.value});
    }
  }
  return Params(std::move(object));
}

Result<Params> Params::OfJson(std::string_view text) {
  if (Trim(text).empty()) return Params(Json::object());
  MEZZO_TRY(Json json, ParseJsonObject<Json>(text, kMaxDepth, Bad));
  return Params(std::move(json));
}

const Json* Params::Find(const std::string& name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<std::string>> Params::MaybeText(const std::string& name) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<std::string>();
  // Numbers where a text is meant: versions and experiments.
  if (found->is_number_unsigned()) return std::optional(std::to_string(found->get<std::uint64_t>()));
  if (!found->is_string()) return Bad("'" + name + "' must be a string");
  return std::optional(found->get<std::string>());
}

Result<std::string> Params::Text(const std::string& name) const {
  MEZZO_TRY(auto text, MaybeText(name));
  if (!text || text->empty()) return Bad("'" + name + "' is missing: it must be a string that is not empty");
  return *std::move(text);
}

Result<std::string> Params::TextOr(const std::string& name, std::string usual) const {
  MEZZO_TRY(auto text, MaybeText(name));
  return text ? *std::move(text) : std::move(usual);
}

Result<std::optional<std::int64_t>> Params::Number(const std::string& name) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<std::int64_t>();
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::optional<std::uint64_t> number;
  if (found->is_number_unsigned()) number = found->get<std::uint64_t>();
  if (found->is_string()) number = ParseUint(found->get_ref<const std::string&>());
  if (!number || *number > kMost) {
    return Bad("'" + name + "' must be a whole number of at least 0, got " +
               Printable(found->dump(-1, ' ', false, Json::error_handler_t::replace), 64));
  }
  return std::optional(static_cast<std::int64_t>(*number));
}

Result<bool> Params::Flag(const std::string& name) const {
  const Json* found = Find(name);
  if (found == nullptr) return false;
  if (found->is_boolean()) return found->get<bool>();
  if (found->is_string() && (*found == "true" || *found == "True")) return true;
  if (found->is_string() && (*found == "false" || *found == "False")) return false;
  return Bad("'" + name + "' must be true or false");
}

Result<std::vector<std::string>> Params::Texts(const std::string& name, std::size_t most) const {
  const Json* found = Find(name);
  std::vector<std::string> texts;
  if (found == nullptr) return texts;
  if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  if (!found->is_array() || found->size() > most) {
    return Bad(fmt::format("'{}' must be a list of at most {} strings", name, most));
  }
  for (const Json& entry : *found) {
    if (!entry.is_string()) return Bad("'" + name + "' must be a list of strings");
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

Result<std::vector<Params>> Params::Objects(const std::string& name, std::size_t most) const {
  const Json* found = Find(name);
  std::vector<Params> objects;
  if (found == nullptr) return objects;
  if (!found->is_array()) return Bad("'" + name + "' must be a list of objects");
  if (found->size() > most) {
    return Bad(fmt::format("'{}' has {} entries; the limit is {}", name, found->size(), most));
  }
  for (const Json& entry : *found) {
    if (!entry.is_object()) return Bad("'" + name + "' must be a list of objects");
    objects.push_back(Params(entry));
  }
  return objects;
}

Result<std::optional<Params>> Params::MaybeObject(const std::string& name) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<Params>();
  if (!found->is_object()) return Bad("'" + name + "' must be an object");
  return std::optional<Params>(Params(*found));
}

Result<lifecycle::Tags> Params::Tags(const std::string& name) const {
  MEZZO_TRY(const auto entries, Objects(name, kMaxTags));
  lifecycle::Tags tags;
  for (const Params& entry : entries) {
    MEZZO_TRY(std::string key, entry.Text("key"));
    MEZZO_TRY(std::string value, entry.TextOr("value", ""));
    const auto [at, fresh] = tags.emplace(std::move(key), std::move(value));
    if (!fresh) return Bad("'" + name + "' has the key '" + Printable(at->first) + "' twice");
  }
  return tags;
}

Result<double> Params::Real(const std::string& name) const {
  const Json* found = Find(name);
  if (found != nullptr && found->is_number()) return found->get<double>();
  if (found != nullptr && found->is_string()) {
    if (*found == "NaN") return std::nan("");
    if (*found == "Infinity") return std::numeric_limits<double>::infinity();
    if (*found == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  return Bad("'" + name + R"(' must be a number, "NaN", "Infinity" or "-Infinity")");
}

Result<std::int64_t> ParseExperimentId(const std::string& text) {
  const auto number = ParseUint(text);
  if (number && *number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return static_cast<std::int64_t>(*number);
  }
  return Bad("'experiment_id' must be a number, got '" + Printable(text, 64) + "'");
}

}  // namespace mezzo::api::mlflow
