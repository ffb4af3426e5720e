#include "mezzo/api/platform/members.h"

#include <algorithm>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 2;

}  // namespace

Result<Members> Members::Parse(std::string_view text, std::span<const std::string_view> known) {
  if (Trim(text).empty()) return Members(Json::object());
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) too_deep = true;
    return !too_deep;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  Members members(std::move(json));
  if (too_deep) return Bad("the body nests deeper than " + std::to_string(kMaxDepth) + " levels");
  if (members.object_.is_discarded()) return Bad("the body is not valid JSON");
  if (!members.object_.is_object()) return Bad("the body must be a JSON object");
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
