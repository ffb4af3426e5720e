#include "mezzo/tenancy/scope.h"

#include <array>

#include "mezzo/base/strings.h"

namespace mezzo::tenancy {
namespace {

constexpr std::array<std::string_view, kScopeCount> kNames = {"read",    "infer",   "keys", "manage",
                                                              "observe", "operate", "admin"};
constexpr std::uint8_t kRead = 1, kInfer = 2, kKeys = 4, kManage = 8, kObserve = 16, kOperate = 32,
                       kAdmin = 64;
/// By scope: what it includes, itself too.
constexpr std::array<std::uint8_t, kScopeCount> kIncludes = {
    kRead,
    kRead | kInfer,
    kRead | kKeys,
    kRead | kKeys | kManage,
    kRead | kObserve,
    kRead | kObserve | kOperate,
    kRead | kInfer | kKeys | kManage | kObserve | kOperate | kAdmin};
constexpr std::uint8_t kOwnTenant = kRead | kInfer | kKeys | kManage;

}  // namespace

std::string_view ScopeName(Scope scope) { return kNames.at(static_cast<std::size_t>(scope)); }

Result<Scope> ParseScope(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames.at(i) == name) return static_cast<Scope>(i);
    known += (i == 0 ? "" : i + 1 == kNames.size() ? " or " : ", ") + std::string(kNames.at(i));
  }
  return InvalidArgument("scope_unknown", "scope must be " + known + ", not '" + Printable(name, 64) + "'");
}

void ScopeSet::Add(Scope scope) { bits_ |= kIncludes.at(static_cast<std::size_t>(scope)); }

ScopeSet ScopeSet::OwnTenantOnly() const {
  ScopeSet own = *this;
  own.bits_ &= kOwnTenant;
  return own;
}

bool ScopeSet::reaches_others() const { return (bits_ & ~kOwnTenant) != 0; }

std::vector<std::string> ScopeSet::Names() const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kScopeCount; ++i) {
    const auto scope = static_cast<Scope>(i);
    if (!Has(scope)) continue;
    bool included = false;
    for (std::size_t k = 0; k < kScopeCount; ++k) {
      included |= k != i && Has(static_cast<Scope>(k)) && (kIncludes.at(k) & Bit(scope)) != 0;
    }
    if (!included) names.emplace_back(kNames.at(i));
  }
  return names;
}

}  // namespace mezzo::tenancy
