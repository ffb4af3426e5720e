#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/releases/header_lookup.h"
#include "mezzo/releases/internal/siphash.h"
#include "mezzo/releases/route.h"

namespace mezzo::releases {

/// What a route looks at of a call.
struct RouteFacts {
  std::string_view tenant;
  HeaderLookup headers;
  std::uint64_t random = 0;  ///< Even over 64 bits; places the calls that nothing keeps together.
};

/// Where calls may go.
struct RouteTarget {
  std::string arm;       ///< "canary", "stable"; of a rule "rule-1" onward.
  std::string named;     ///< The version as the route names it: "7", "latest", "@champion".
  std::string version;   ///< As a call would name it: "7"; empty: the newest.
  bool resolved = true;  ///< False: an alias that nothing stands under; nothing may go there.
  bool stable = false;   ///< Goes to the same version as the route's `stable`.
};

/// A route, ready for use: Choose() costs well under a microsecond and allocates nothing. Immutable.
///
/// Arms lie on a line of 10,000 places, and a caller has one of them for as long as the salt stays: the first
/// 64 bits of SipHash-2-4 of its unit, keyed by the SHA-256 of the salt, modulo 10,000. The arm named
/// "stable" (else the first of the stable version, else the first) is in the middle; of the others, in their
/// order, the first begins at the low end, the second at the high end, the third follows the first, and so
/// on. An arm at an end that grows therefore keeps all who were in it.
class RouteTable {
 public:
  /// The number that an alias stands for; nothing: nothing does.
  using Resolve = std::function<std::optional<std::int64_t>(std::string_view alias)>;

  /// `route` has passed CheckRoute(). Null `resolve`: there are no aliases.
  RouteTable(const Route& route, const Resolve& resolve);

  /// The index of the target for a call, whether it is resolved or not.
  [[nodiscard]] std::size_t Choose(const RouteFacts& facts) const;
  [[nodiscard]] const std::vector<RouteTarget>& targets() const { return targets_; }
  /// The salt: other salts, other callers in the arms.
  [[nodiscard]] const std::string& series() const { return series_; }
  /// The index of `stable` itself.
  [[nodiscard]] std::size_t stable() const { return stable_; }

  /// The place of a unit, in [0, 10,000).
  [[nodiscard]] std::uint32_t PlaceOf(std::string_view unit) const {
    return static_cast<std::uint32_t>(internal::SipHash(key_, unit) % kWholeWeight);
  }
  /// Whether a call is copied to the shadow of that index, by a share of the calls: those of the same random
  /// number are not all copied to all shadows.
  [[nodiscard]] bool Shadowed(std::size_t shadow, std::uint64_t random) const;
  [[nodiscard]] const std::vector<RouteShadow>& shadows() const { return shadows_; }
  [[nodiscard]] const std::vector<RouteTarget>& shadow_targets() const { return shadow_targets_; }

 private:
  static constexpr std::size_t kNoHeader = kMaxRuleHeaders;
  struct Rule {
    std::size_t header = kNoHeader;  ///< Of headers_.
    std::string equals;
    std::string tenant;
    std::size_t target = 0;
  };
  struct Span {
    std::uint32_t end = 0;  ///< Its places are those below, from the end of the one before on.
    std::size_t target = 0;
  };

  std::string series_;
  internal::SipKey key_{};
  Sticky sticky_ = Sticky::kNone;
  std::string sticky_header_;
  std::vector<std::string> headers_;  // That rules ask for, each once.
  std::vector<Rule> rules_;
  std::vector<Span> spans_;
  std::vector<RouteTarget> targets_;
  std::vector<RouteShadow> shadows_;
  std::vector<RouteTarget> shadow_targets_;
  std::size_t stable_ = 0;
};

}  // namespace mezzo::releases
