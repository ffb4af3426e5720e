#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace mezzo {

/// A string with a meaning of its own: a ModelName does not convert to a TenantId.
template <typename Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}

  [[nodiscard]] const std::string& str() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  friend auto operator<=>(const StrongId&, const StrongId&) = default;

 private:
  std::string value_;
};

using TenantId = StrongId<struct TenantIdTag>;
using ProjectId = StrongId<struct ProjectIdTag>;  ///< Within its tenant.
using KeyId = StrongId<struct KeyIdTag>;          ///< Of an API key; no secret.
using ModelName = StrongId<struct ModelNameTag>;

}  // namespace mezzo

template <typename Tag>
struct std::hash<mezzo::StrongId<Tag>> {
  std::size_t operator()(const mezzo::StrongId<Tag>& id) const noexcept {
    return std::hash<std::string_view>{}(id.str());
  }
};
