#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mezzo::tenancy {

/// What a person is to a tenant, least first. What each may do is decided elsewhere.
enum class Role : std::uint8_t { kViewer, kDeveloper, kOperator, kAdmin };

inline constexpr std::array<std::string_view, 4> kRoleNames = {"viewer", "developer", "operator", "admin"};

constexpr std::string_view RoleName(Role role) { return kRoleNames[static_cast<std::size_t>(role)]; }

/// Nothing for any other text; names are in lower case.
constexpr std::optional<Role> ParseRole(std::string_view name) {
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (kRoleNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

}  // namespace mezzo::tenancy
