#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/media/internal/storyboard_names.h"

namespace mezzo::media::internal {

/// Reads the members of one JSON object by name and remembers which it was asked for, so that Finish() can
/// name those that nobody knows. All errors are kInvalidArgument "storyboard_invalid" and begin with the
/// place
/// ("shots[3].motion.kind is ..."). A missing member leaves the target as it is; null counts as missing.
class JsonObject {
 public:
  /// `value` must outlive this. Fails when it is not an object; `place` is empty at the top.
  static Result<JsonObject> Open(const nlohmann::json& value, std::string place);

  Result<void> Read(std::string_view name, std::string* out);
  Result<void> Read(std::string_view name, double* out);
  Result<void> Read(std::string_view name, int* out);
  Result<void> Read(std::string_view name, bool* out);
  /// A number of seconds, kept to the millisecond.
  Result<void> Read(std::string_view name, Duration* out);
  /// One of the names of an enumeration.
  template <typename Enum, std::size_t kCount>
  Result<void> Read(std::string_view name, const Named<Enum> (&names)[kCount], Enum* out) {
    std::string text;
    MEZZO_TRY_VOID(Read(name, &text));
    if (!Has(name)) return {};
    for (const auto& named : names) {
      if (named.name == text) {
        *out = named.value;
        return {};
      }
    }
    return NotOneOf(name, text, ListNames(names));
  }

  /// The member, or null when it is missing.
  const nlohmann::json* Find(std::string_view name);
  [[nodiscard]] bool Has(std::string_view name) const;
  /// "shots[3].motion" for a member.
  [[nodiscard]] std::string PlaceOf(std::string_view name) const;
  /// Fails when the object has a member that was never asked for.
  Result<void> Finish() const;

 private:
  JsonObject(const nlohmann::json& value, std::string place) : value_(&value), place_(std::move(place)) {}
  [[nodiscard]] Error NotOneOf(std::string_view name, std::string_view value, std::string_view names) const;

  const nlohmann::json* value_;
  std::string place_;
  std::vector<std::string> known_;
};

/// "`place` is a string; it must be an object", as an error.
Error WrongKind(const std::string& place, const nlohmann::json& value, std::string_view wanted);

}  // namespace mezzo::media::internal
