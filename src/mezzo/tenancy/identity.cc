#include "mezzo/tenancy/identity.h"

#include <algorithm>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {

ScopeSet ScopesOf(Role role, bool platform) {
  switch (role) {
    case Role::kViewer:
      return platform ? ScopeSet{Scope::kRead, Scope::kObserve} : ScopeSet{Scope::kRead};
    case Role::kDeveloper:
      return platform ? ScopeSet{Scope::kInfer, Scope::kObserve} : ScopeSet{Scope::kInfer};
    case Role::kOperator:
      return platform ? ScopeSet{Scope::kInfer, Scope::kKeys, Scope::kOperate}
                      : ScopeSet{Scope::kInfer, Scope::kKeys};
    case Role::kAdmin:
      return platform ? ScopeSet{Scope::kAdmin} : ScopeSet{Scope::kInfer, Scope::kManage};
  }
  return {};
}

Result<void> CheckId(std::string_view what, std::string_view id) {
  constexpr std::size_t kLongest = 64;
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool good = !id.empty() && id.size() <= kLongest && alphanumeric(id.front()) &&
                    alphanumeric(id.back()) &&
                    std::all_of(id.begin(), id.end(), [&](char c) { return alphanumeric(c) || c == '-'; });
  if (good) return {};
  return InvalidArgument("id_invalid", "the " + std::string(what) + " '" + Printable(id, kLongest) +
                                           "' must be 1 to 64 characters of a-z, 0-9 and '-', beginning and "
                                           "ending with a letter or digit");
}

}  // namespace mezzo::tenancy
