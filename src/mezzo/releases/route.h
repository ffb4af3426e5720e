#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::releases {

/// Weights and shares are in 1/10,000.
inline constexpr std::uint32_t kWholeWeight = 10'000;
inline constexpr std::size_t kMaxArms = 16;
inline constexpr std::size_t kMaxRules = 64;
inline constexpr std::size_t kMaxRuleHeaders = 8;  ///< Different ones: each is looked for in each call.
inline constexpr std::size_t kMaxShadows = 4;
inline constexpr std::size_t kMaxSalt = 128;
inline constexpr std::uint32_t kMaxShadowsInFlight = 256;
inline constexpr ByteCount kMaxRouteText = ByteCount{64} << 10;

/// How a route names a version.
struct VersionName {
  enum class Kind : std::uint8_t {
    kNumber,  ///< "7"
    kLatest,  ///< "latest": the newest that the model's policy serves.
    kAlias,   ///< "@champion": what the registry has under it.
  };
  Kind kind = Kind::kLatest;
  std::int64_t number = 0;  ///< Of kNumber; positive.
  std::string alias;        ///< Of kAlias, without the '@'.

  /// kInvalidArgument "route_version".
  static Result<VersionName> Parse(std::string_view text);
  static VersionName Number(std::int64_t number) {
    return {.kind = Kind::kNumber, .number = number, .alias = ""};
  }
  [[nodiscard]] std::string Text() const;
  friend bool operator==(const VersionName&, const VersionName&) = default;
};

/// Sends the calls it fits to one version; both conditions must hold where both are given.
struct RouteRule {
  std::string header;  ///< In lower case; empty: of any headers.
  std::string equals;  ///< The header's value, byte by byte.
  TenantId tenant;     ///< Empty: of anybody.
  VersionName version;
  friend bool operator==(const RouteRule&, const RouteRule&) = default;
};

/// Whose calls stay together.
enum class Sticky : std::uint8_t {
  kNone,    ///< Each call by itself.
  kTenant,  ///< A tenant's.
  kHeader,  ///< Those with one value of a header; calls without the header each by themselves.
};

struct RouteArm {
  std::string name;  ///< 1 to 32 of a-z, 0-9, '-', '_', not beginning with a digit or "rule".
  VersionName version;
  std::uint32_t weight = 0;
  friend bool operator==(const RouteArm&, const RouteArm&) = default;
};

/// A share of the calls is copied to a version whose answers nobody gets.
struct RouteShadow {
  VersionName version;
  std::uint32_t share = 0;
  std::uint32_t max_in_flight = 4;  ///< On each host; more are not copied.
  friend bool operator==(const RouteShadow&, const RouteShadow&) = default;
};

/// Which version answers the calls to a model that name none: the first rule that fits, else an arm of the
/// split, else `stable`, which also gets what fails on another version.
struct Route {
  std::vector<RouteRule> rules;
  Sticky sticky = Sticky::kNone;
  std::string sticky_header;  ///< Of kHeader, in lower case.
  std::string salt;           ///< Another salt deals the callers anew.
  std::vector<RouteArm> arms;
  std::vector<RouteShadow> shadows;
  VersionName stable;
  friend bool operator==(const Route&, const Route&) = default;
};

/// Fails, naming the member and what it must be, with kInvalidArgument "route_json" (no JSON, an unknown or
/// missing member, a wrong type, more than kMaxRouteText), "route_version", "route_weights", "route_arm",
/// "route_rule", "route_sticky", "route_shadow".
Result<Route> ParseRoute(std::string_view json);
/// What ParseRoute() finds fault with; the route of a program.
Result<void> CheckRoute(const Route& route);
/// As JSON, the same text for equal routes.
std::string RouteText(const Route& route);

/// A model with a route: 1 to 128 of A-Z, a-z, 0-9, '.', '_', '-'. kInvalidArgument "route_model".
Result<void> CheckRoutedModel(std::string_view model);

}  // namespace mezzo::releases
