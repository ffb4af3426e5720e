#include "mezzo/releases/route_table.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "mezzo/base/bytes.h"
#include "mezzo/base/sha256.h"

namespace mezzo::releases {
namespace {

internal::SipKey KeyOf(std::string_view salt) {
  const Sha256Digest digest = Sha256Of(AsBytes(salt));
  internal::SipKey key{};
  for (std::size_t i = 0; i < 16; ++i) {
    key.at(i / 8) |= static_cast<std::uint64_t>(digest.at(i)) << (8 * (i % 8));
  }
  return key;
}

RouteTarget TargetOf(std::string arm, const VersionName& version, const RouteTable::Resolve& resolve) {
  RouteTarget target{.arm = std::move(arm), .named = version.Text(), .version = ""};
  switch (version.kind) {
    case VersionName::Kind::kNumber:
      target.version = target.named;
      break;
    case VersionName::Kind::kLatest:
      break;
    case VersionName::Kind::kAlias: {
      const auto number = resolve ? resolve(version.alias) : std::nullopt;
      target.resolved = number.has_value();
      if (number) target.version = std::to_string(*number);
      break;
    }
  }
  return target;
}

/// The index of the arm in the middle.
std::size_t MiddleOf(const Route& route) {
  const auto index = [&](auto fits) {
    const auto at = std::find_if(route.arms.begin(), route.arms.end(), fits);
    return static_cast<std::size_t>(at - route.arms.begin());
  };
  std::size_t middle = index([](const RouteArm& arm) { return arm.name == "stable"; });
  if (middle == route.arms.size()) {
    middle = index([&](const RouteArm& arm) { return arm.version == route.stable; });
  }
  return middle == route.arms.size() ? 0 : middle;
}

/// splitmix64's last step: every bit of the input reaches every bit.
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

RouteTable::RouteTable(const Route& route, const Resolve& resolve)
    : series_(route.salt),
      key_(KeyOf(route.salt)),
      sticky_(route.sticky),
      sticky_header_(route.sticky_header),
      shadows_(route.shadows) {
  for (const RouteArm& arm : route.arms) targets_.push_back(TargetOf(arm.name, arm.version, resolve));
  for (std::size_t i = 0; i < route.rules.size(); ++i) {
    const RouteRule& rule = route.rules[i];
    std::size_t header = kNoHeader;
    if (!rule.header.empty()) {
      const auto at = std::find(headers_.begin(), headers_.end(), rule.header);
      header = static_cast<std::size_t>(at - headers_.begin());
      if (at == headers_.end()) headers_.push_back(rule.header);
    }
    rules_.push_back(
        {.header = header, .equals = rule.equals, .tenant = rule.tenant.str(), .target = targets_.size()});
    targets_.push_back(TargetOf("rule-" + std::to_string(i + 1), rule.version, resolve));
  }
  stable_ = targets_.size();
  targets_.push_back(TargetOf("stable", route.stable, resolve));
  for (RouteTarget& target : targets_) {
    target.stable =
        target.resolved == targets_[stable_].resolved && target.version == targets_[stable_].version;
  }
  for (const RouteShadow& shadow : route.shadows) {
    shadow_targets_.push_back(TargetOf("shadow", shadow.version, resolve));
  }
  if (route.arms.empty()) return;

  const std::size_t middle = MiddleOf(route);
  std::deque<std::size_t> order = {middle};
  std::vector<std::size_t> low;
  std::vector<std::size_t> high;
  for (std::size_t i = 0; i < route.arms.size(); ++i) {
    if (i != middle) (low.size() == high.size() ? low : high).push_back(i);
  }
  order.insert(order.begin(), low.begin(), low.end());
  order.insert(order.end(), high.rbegin(), high.rend());
  std::uint32_t end = 0;
  for (const std::size_t arm : order) {
    end += route.arms[arm].weight;
    if (route.arms[arm].weight > 0) spans_.push_back({.end = end, .target = arm});
  }
}

std::size_t RouteTable::Choose(const RouteFacts& facts) const {
  // Each header is looked for once, however many rules ask for it.
  std::array<std::optional<std::string_view>, kMaxRuleHeaders> values;
  std::array<bool, kMaxRuleHeaders> asked{};
  for (const Rule& rule : rules_) {
    if (!rule.tenant.empty() && rule.tenant != facts.tenant) continue;
    if (rule.header != kNoHeader) {
      if (!std::exchange(asked.at(rule.header), true)) {
        values.at(rule.header) = facts.headers.Of(headers_[rule.header]);
      }
      if (values.at(rule.header) != rule.equals) continue;
    }
    return rule.target;
  }
  if (spans_.empty()) return stable_;
  std::optional<std::string_view> unit;
  if (sticky_ == Sticky::kTenant) unit = facts.tenant;
  if (sticky_ == Sticky::kHeader) unit = facts.headers.Of(sticky_header_);
  const std::uint32_t place =
      unit ? PlaceOf(*unit) : static_cast<std::uint32_t>(Mix(facts.random) % kWholeWeight);
  for (const Span& span : spans_) {
    if (place < span.end) return span.target;
  }
  return stable_;
}

bool RouteTable::Shadowed(std::size_t shadow, std::uint64_t random) const {
  const std::uint64_t number = Mix(random + (shadow + 1) * 0x9e3779b97f4a7c15ULL);
  return number % kWholeWeight < shadows_[shadow].share;
}

}  // namespace mezzo::releases
