#include "mezzo/api/platform/members.h"

#include <algorithm>

#include <fmt/format.h>

#include "mezzo/api/json_body.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 2;

}  // namespace

Result<Members> Members::Parse(std::string_view text, std::span<const std::string_view> known) {
  if (Trim(text).empty()) return Members(Json::object());
  MEZZO_TRY(Json json, ParseJsonObject<Json>(text, kMaxDepth, Bad));
  Members members(std::move(json));
  for (const auto& [name, value] : members.object_.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string names;
    for (const std::string_view member : known) names += (names.empty() ? "" : ", ") + std::string(member);
    return Bad("unknown member '" + Printable(name, 64) + "'; known are " + names);
  }
  return members;
}

const Json* Members::Find(const std::string& name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<std::string>> Members::Text(const std::string& name, std::size_t max_size) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return Bad("'" + name + "' must be a string");
  auto text = found->get<std::string>();
  if (text.size() > max_size) {
    return Bad(fmt::format("'{}' has {} bytes; the limit is {}", name, text.size(), max_size));
  }
  return std::optional<std::string>(std::move(text));
}

Result<std::optional<double>> Members::Number(const std::string& name, double above, double most) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<double>();
  if (found->is_number()) {
    const auto number = found->get<double>();
    if (number > above && number <= most) return std::optional<double>(number);
  }
  return Bad(fmt::format("'{}' must be a number in ({:g}, {:g}], got {}", name, above, most,
                         Printable(found->dump(-1, ' ', false, Json::error_handler_t::replace), 64)));
}

Result<std::optional<bool>> Members::Flag(const std::string& name) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<bool>();
  if (!found->is_boolean()) return Bad("'" + name + "' must be true or false");
  return std::optional<bool>(found->get<bool>());
}

Result<std::optional<std::vector<std::string>>> Members::Texts(const std::string& name,
                                                               std::size_t max_count) const {
  const Json* found = Find(name);
  if (found == nullptr) return std::optional<std::vector<std::string>>();
  if (!found->is_array() || found->size() > max_count) {
    return Bad(fmt::format("'{}' must be a list of at most {} strings", name, max_count));
  }
  std::vector<std::string> texts;
  texts.reserve(found->size());
  for (const Json& entry : *found) {
    if (!entry.is_string()) return Bad("'" + name + "' must be a list of strings");
    texts.push_back(entry.get<std::string>());
  }
  return std::optional<std::vector<std::string>>(std::move(texts));
}

}  // namespace mezzo::api::platform
