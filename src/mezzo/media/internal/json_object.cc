#include "mezzo/media/internal/json_object.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::media::internal {

using Json = nlohmann::json;

Error WrongKind(const std::string& place, const Json& value, std::string_view wanted) {
  return InvalidArgument(
      "storyboard_invalid",
      fmt::format("{} is {} {}; it must be {}", place.empty() ? "the storyboard" : place,
                  value.is_array() || value.is_object() ? "an" : "a", value.type_name(), wanted));
}

Result<JsonObject> JsonObject::Open(const Json& value, std::string place) {
  if (!value.is_object()) return WrongKind(place, value, "an object");
  return JsonObject(value, std::move(place));
}

const Json* JsonObject::Find(std::string_view name) {
  known_.emplace_back(name);
  return Has(name) ? &*value_->find(name) : nullptr;
}

bool JsonObject::Has(std::string_view name) const {
  const auto at = value_->find(name);
  return at != value_->end() && !at->is_null();
}

std::string JsonObject::PlaceOf(std::string_view name) const {
  return place_.empty() ? std::string(name) : place_ + "." + std::string(name);
}

Result<void> JsonObject::Read(std::string_view name, std::string* out) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (!value->is_string()) return WrongKind(PlaceOf(name), *value, "a string");
  *out = value->get_ref<const std::string&>();
  return {};
}

Result<void> JsonObject::Read(std::string_view name, double* out) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (!value->is_number()) return WrongKind(PlaceOf(name), *value, "a number");
  *out = value->get<double>();
  return {};
}

Result<void> JsonObject::Read(std::string_view name, int* out) {
  double number = *out;
  MEZZO_TRY_VOID(Read(name, &number));
  if (number != std::floor(number) || std::abs(number) > 1e9) {
    return InvalidArgument("storyboard_invalid",
                           fmt::format("{} is {:g}; it must be a whole number", PlaceOf(name), number));
  }
  *out = static_cast<int>(number);
  return {};
}

Result<void> JsonObject::Read(std::string_view name, bool* out) {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  if (!value->is_boolean()) return WrongKind(PlaceOf(name), *value, "true or false");
  *out = value->get<bool>();
  return {};
}

Result<void> JsonObject::Read(std::string_view name, Duration* out) {
  double seconds = 0;
  MEZZO_TRY_VOID(Read(name, &seconds));
  if (Has(name)) *out = FromSeconds(std::round(seconds * 1000) / 1000);
  return {};
}

Result<void> JsonObject::Finish() const {
  for (const auto& [name, value] : value_->items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string message = fmt::format("{} is not a known name", PlaceOf(Printable(name)));
    if (const auto near = NearestName(name, known_)) message += "; did you mean \"" + *near + "\"?";
    return InvalidArgument("storyboard_invalid", std::move(message));
  }
  return {};
}

Error JsonObject::NotOneOf(std::string_view name, std::string_view value, std::string_view names) const {
  return InvalidArgument("storyboard_invalid", fmt::format("{} is \"{}\"; it must be one of {}",
                                                           PlaceOf(name), Printable(value), names));
}

}  // namespace mezzo::media::internal
