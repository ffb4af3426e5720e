#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"

namespace mezzo::tenancy {

/// What a caller may do. The first four concern what belongs to the caller's own tenant; the last three
/// concern the whole installation, and only callers of a platform tenant have them.
enum class Scope : std::uint8_t {
  kRead,     ///< Metadata, own jobs, own usage.
  kInfer,    ///< Inference, generation, jobs, uploads. Includes read.
  kKeys,     ///< The tenant's API keys, its part of the cache. Includes read.
  kManage,   ///< The tenant's projects and users. Includes read and keys.
  kObserve,  ///< Metrics and statistics of all tenants. Includes read.
  kOperate,  ///< Loading and unloading of models, settings, shared memory. Includes read and observe.
  kAdmin,    ///< Everything, for every tenant.
};
inline constexpr std::size_t kScopeCount = 7;

/// "read", "infer", "keys", "manage", "observe", "operate", "admin".
std::string_view ScopeName(Scope scope);
/// kInvalidArgument "scope_unknown", naming the scopes there are.
Result<Scope> ParseScope(std::string_view name);

/// A set of scopes, with what they include.
class ScopeSet {
 public:
  ScopeSet() = default;
  ScopeSet(std::initializer_list<Scope> scopes) {
    for (const Scope scope : scopes) Add(scope);
  }

  void Add(Scope scope);
  [[nodiscard]] bool Has(Scope scope) const { return (bits_ & Bit(scope)) != 0; }
  [[nodiscard]] bool HasAll(const ScopeSet& others) const { return (others.bits_ & ~bits_) == 0; }
  /// Without those that concern the whole installation.
  [[nodiscard]] ScopeSet OwnTenantOnly() const;
  [[nodiscard]] bool reaches_others() const;
  [[nodiscard]] bool empty() const { return bits_ == 0; }
  /// Those that no other of the set includes, by name.
  [[nodiscard]] std::vector<std::string> Names() const;

  friend bool operator==(const ScopeSet&, const ScopeSet&) = default;

 private:
  static constexpr std::uint8_t Bit(Scope scope) {
    return static_cast<std::uint8_t>(1U << static_cast<std::uint8_t>(scope));
  }

  std::uint8_t bits_ = 0;
};

}  // namespace mezzo::tenancy
